--- The language server: started once, attached to buffers, asked and told.
---
--- Bridges the client's methods between Neovim 0.10 (dot) and 0.11 (colon).
--- Knows no ghost text; what the server pushes goes to the listeners that
--- `listen()` was given. Quiet: what goes wrong is kept for `:DlmdStatus`,
--- and only a missing program is said, once, because nobody else could.
--- Columns of the protocol are in columns.lua.

local M = {}
local H = {
  name = "dlmd",
  listeners = {},
  opened = {}, -- buffer -> its tick when the server was told its text
  failures = 0,
  max_failures = 3,
  told_missing = false,
  problem = nil,
}

--- The exact command that brings the missing program.
M.install = "pipx install ."

--- Start or reuse the server for a buffer; nothing happens for other buffers.
---@param buffer integer
---@param by_hand? boolean somebody asked: a server that was given up is tried again
---@return boolean attached or about to be
function M.attach(buffer, by_hand)
  local config = require("dlmd").config
  H.failures = by_hand and 0 or H.failures
  if not config or not H.wanted(buffer, config) or H.failures >= H.max_failures then
    return false
  end
  if M.of(buffer) then
    return true
  end
  if vim.fn.executable(config.cmd[1]) == 0 then
    H.say_missing(config.cmd[1])
    return false
  end
  return vim.lsp.start(H.description(buffer, config), { bufnr = buffer, reuse_client = H.is_ours }) ~= nil
end

--- Call a function as soon as a buffer's client is initialised.
function M.when_ready(buffer, callback)
  if M.of(buffer) then
    return callback()
  end
  vim.api.nvim_create_autocmd("LspAttach", {
    buffer = buffer,
    callback = function()
      if M.of(buffer) then
        callback()
        return true
      end
    end,
  })
end

--- The running, initialised client of a buffer.
---@param buffer integer
function M.of(buffer)
  return vim.lsp.get_clients({ bufnr = buffer, name = H.name })[1]
end

--- Send a request; the handler gets (err, result). Returns what cancels it.
---@return fun()|nil cancel
function M.request(buffer, method, params, handler)
  local client = M.of(buffer)
  if not client then
    return nil
  end
  local sent, id = H.call(client, "request", method, params, function(err, result)
    if err then
      M.note(err.message)
    end
    handler(err, result)
  end, buffer)
  if not sent then
    return nil
  end
  return function()
    if not H.call(client, "is_stopped") then
      H.call(client, "cancel_request", id)
    end
  end
end

--- Run a command of the server; the handler, if any, gets (err, result).
---@return fun()|nil cancel
function M.execute(buffer, command, handler)
  local params = { command = command.command, arguments = command.arguments }
  return M.request(buffer, "workspace/executeCommand", params, handler or function() end)
end

--- Tell the server something that has no answer.
function M.notify(buffer, method, params)
  local client = M.of(buffer)
  if client then
    H.call(client, "notify", method, params)
  end
end

--- Send the settings again, to every running server of ours.
function M.reconfigure(config)
  for _, client in ipairs(vim.lsp.get_clients({ name = H.name })) do
    client.settings = { dlmd = require("dlmd.config").for_server(config) }
    H.call(client, "notify", "workspace/didChangeConfiguration", { settings = client.settings })
  end
end

--- How the server of a buffer counts columns.
function M.encoding(buffer)
  local client = M.of(buffer)
  return client and client.offset_encoding or "utf-16"
end

--- The cursor as the protocol counts it.
function M.position(buffer, window)
  return vim.lsp.util.make_position_params(window or 0, M.encoding(buffer))
end

--- Is a document version the text as it is now? Neovim's versions are its
--- ticks, except for the first, which 0.10 sends as 0.
function M.is_current(buffer, version)
  local tick = vim.api.nvim_buf_get_changedtick(buffer)
  return version == tick or (version == 0 and H.opened[buffer] == tick)
end

--- Have a function called with the parameters of a message of the server.
function M.listen(method, listener)
  H.listeners[method] = listener
end

--- Keep a problem for `:DlmdStatus`.
function M.note(problem)
  H.problem = problem
end

--- What is known without asking: the daemon's last status, the last problem,
--- and whether starting the server was given up.
function M.report()
  return { daemon = H.daemon, problem = H.problem, given_up = H.failures >= H.max_failures }
end

function H.description(buffer, config)
  local capabilities = vim.lsp.protocol.make_client_capabilities()
  capabilities.textDocument.inlineCompletion = { dynamicRegistration = false }
  local told = require("dlmd.config").for_server(config)
  return {
    name = H.name,
    cmd = H.starter(config.cmd),
    root_dir = H.root(buffer),
    capabilities = capabilities,
    handlers = H.handlers(),
    init_options = told,
    settings = { dlmd = told },
    on_attach = function(client, attached)
      H.opened[attached] = vim.api.nvim_buf_get_changedtick(attached)
      H.add_folder(client, H.root(attached))
    end,
    on_init = function(started)
      H.failures = 0
      require("dlmd.native").guard(started)
    end,
  }
end

function H.root(buffer)
  return vim.fs.root(buffer, { ".git", "pyproject.toml", "package.json" })
end

-- One server for all projects, so it has to hear of each: imports are looked up below them.
function H.add_folder(client, root)
  local folders = client.workspace_folders or {}
  local folder = root and { uri = vim.uri_from_fname(root), name = root }
  if folder and not vim.iter(folders):any(function(known)
    return known.uri == folder.uri
  end) then
    client.workspace_folders = vim.list_extend({ folder }, folders)
    H.call(client, "notify", "workspace/didChangeWorkspaceFolders", { event = { added = { folder }, removed = {} } })
  end
end

function H.handlers()
  local function forward(method, default)
    return function(err, result, context, config)
      H.tell(method, result)
      if default then
        return default(err, result, context, config)
      end
    end
  end
  return {
    ["dlmd/state"] = forward("dlmd/state"),
    ["dlmd/status"] = function(_, result)
      H.daemon = result
      H.tell("dlmd/status", result)
    end,
    ["dlmd/waiting"] = forward("dlmd/waiting"),
    ["$/progress"] = forward("$/progress", vim.lsp.handlers["$/progress"]),
    ["workspace/applyEdit"] = H.apply_edit,
    ["window/showMessage"] = function(_, result)
      M.note(result.message)
      return vim.NIL
    end,
  }
end

function H.tell(method, params)
  if H.listeners[method] then
    H.listeners[method](params)
  end
end

-- As Neovim's own, but silent, and an edit for an older text is refused
-- instead of being reported as applied.
function H.apply_edit(_, params, context)
  local client = assert(vim.lsp.get_client_by_id(context.client_id))
  for _, change in ipairs(params.edit.documentChanges or {}) do
    local document = change.textDocument
    local buffer = document and vim.uri_to_bufnr(document.uri)
    if document and type(document.version) == "number" and not M.is_current(buffer, document.version) then
      return { applied = false, failureReason = "the text changed in the meantime" }
    end
  end
  H.start_undo_step()
  local applied, reason = pcall(vim.lsp.util.apply_workspace_edit, params.edit, client.offset_encoding)
  H.tell("workspace/applyEdit", params)
  return { applied = applied, failureReason = not applied and tostring(reason) or nil }
end

-- See |undo-break|. Not in insert mode: Neovim would not save for undo what is
-- typed next.
function H.start_undo_step()
  if vim.api.nvim_get_mode().mode:sub(1, 1) ~= "i" then
    vim.go.undolevels = vim.go.undolevels
  end
end

-- Neovim itself would say with "Press ENTER" that a server ended badly.
function H.starter(cmd)
  return function(dispatchers)
    local on_exit = dispatchers.on_exit
    dispatchers.on_exit = function(code, signal)
      H.on_exit(code, signal)
      on_exit(0, 0)
    end
    return vim.lsp.rpc.start(cmd, dispatchers)
  end
end

-- A server that ended is started again by the next keystroke, a few times.
function H.on_exit(code, signal)
  local how = signal ~= 0 and ("by signal %d"):format(signal) or ("with code %d"):format(code)
  if code ~= 0 or signal ~= 0 then
    H.failures = H.failures + 1
    M.note("the language server ended " .. how)
  end
  vim.schedule(function()
    H.daemon = nil
    H.tell("dlmd/status")
    -- What it was asked is never answered.
    H.tell("exit", "the language server ended " .. how .. "; the next keystroke starts it again")
  end)
end

function H.wanted(buffer, config)
  if not vim.api.nvim_buf_is_loaded(buffer) or vim.bo[buffer].buftype ~= "" then
    return false
  end
  local filetype = vim.bo[buffer].filetype
  if filetype == "" or vim.api.nvim_buf_get_name(buffer) == "" then
    return false
  end
  return #config.filetypes == 0 or vim.list_contains(config.filetypes, filetype)
end

function H.is_ours(client)
  return client.name == H.name and not H.call(client, "is_stopped")
end

function H.say_missing(program)
  if not H.told_missing then
    H.told_missing = true
    require("dlmd.say").warn(("no program `%s` on PATH; in a clone of dlmd type: %s"):format(program, M.install))
  end
end

function H.call(client, method, ...)
  if vim.fn.has("nvim-0.11") == 1 then
    return client[method](client, ...)
  end
  return client[method](...)
end

return M
