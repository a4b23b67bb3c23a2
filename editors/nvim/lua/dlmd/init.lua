--- dlmd in Neovim: ghost text from a masked-diffusion model.
---
---   require("dlmd").setup({ keys = { accept = "<Tab>" } })
---
--- Draws and forwards, nothing more: when to ask, what for, and what a good
--- answer is, the language server (`dlmd lsp`) knows. This file wires settings,
--- keys and events to the files beside it.
---
--- What it doesn't do: completion menus, chat, syntax, starting a daemon (the
--- language server does), and speaking up while you type.

local client = require("dlmd.client")
local native = require("dlmd.native")
local run = require("dlmd.run")
local suggest = require("dlmd.suggest")

local M = {}
local H = {}

---@type table|nil the checked settings; nil until setup() was called
M.config = nil
---@type string[] what was wrong with what setup() got, a sentence each
M.complaints = {}

--- Check the settings, map the keys, watch the buffers.
---@param config? table see lua/dlmd/config.lua
function M.setup(config)
  if vim.fn.has("nvim-0.10") == 0 then
    return vim.notify("(dlmd) Neovim 0.10 or newer is needed", vim.log.levels.ERROR)
  end
  M.config, M.complaints = require("dlmd.config").merge(config)
  require("dlmd.ghost").highlights()
  require("dlmd.keys").map(M.config.keys, M.actions, require("dlmd.config").modes)
  H.listen()
  H.watch()
  client.reconfigure(M.config)
  for _, buffer in ipairs(vim.api.nvim_list_bufs()) do
    client.attach(buffer)
    if client.of(buffer) then
      native.attach(buffer, M.config)
    end
  end
  if M.complaints[1] then
    local more = #M.complaints > 1 and (" (and %d more, see :checkhealth dlmd)"):format(#M.complaints - 1) or ""
    require("dlmd.say").warn(M.complaints[1] .. more)
  end
end

--- Ask for a suggestion at the cursor now; for a mapping in insert mode.
function M.suggest()
  if client.attach(vim.api.nvim_get_current_buf(), true) then
    if native.draws(0) then
      native.ask()
    else
      suggest.ask(suggest.INVOKED)
    end
  end
end

--- Take the suggestion, or a part of it. False when there is none.
---@param part? "all"|"word"|"line"|"confident"
---@return boolean
function M.accept(part)
  return H.who().accept(part or "all")
end

--- Is a suggestion on the screen?
---@return boolean
function M.visible()
  return H.who().visible()
end

--- Show the next candidate.
function M.next()
  H.who().cycle(1)
end

--- Show the candidate before.
function M.previous()
  H.who().cycle(-1)
end

--- Remove the suggestion, and keep it away while what it says is typed.
function M.dismiss()
  H.who().dismiss(false, true)
end

--- The keys an expression mapping should return: the action, or `otherwise`.
---
---   vim.keymap.set("i", "<C-l>", function()
---     return require("dlmd").expr("accept_word", "<C-l>")
---   end, { expr = true, remap = true })
---@param name string an action, such as "accept" or "next"
---@param otherwise? string nothing, if left out
---@return string
function M.expr(name, otherwise)
  local action = assert(M.actions[name], "no such action of dlmd: " .. tostring(name))
  return require("dlmd.keys").either(name, action.ready(), otherwise or "")
end

--- Write the body of the function at the cursor.
function M.complete()
  run.start("dlmd.completeFunction", H.here)
end

--- Write all holes of the function at the cursor, or of lines: each `...` and TODO.
---@param lines? integer[] first and last, from 1
function M.fill(lines)
  run.start("dlmd.fillHoles", function(buffer)
    return lines and { range = H.lines(buffer, lines) } or H.here(buffer)
  end)
end

--- Write the selection anew.
---@param range? integer[] row, column, end row, end column; else the selection
function M.rewrite(range)
  run.start("dlmd.rewrite", function(buffer)
    return { range = H.protocol(buffer, range or require("dlmd.selection").now()) }
  end)
end

--- Write anew what is doubtful near the diagnostics at the cursor, or in lines.
---@param lines? integer[] first and last, from 1
function M.repair(lines)
  run.start("dlmd.repair", function(buffer)
    local argument = lines and { range = H.lines(buffer, lines) } or H.here(buffer)
    argument.diagnostics = H.diagnostics(buffer, lines)
    return argument
  end)
end

--- The running or last command once more, longer.
function M.longer()
  run.again("dlmd.longer")
end

--- The running or last command once more, shorter.
function M.shorter()
  run.again("dlmd.shorter")
end

--- End the command and put in what has settled.
function M.stop()
  H.running(run.keep)
end

--- End the command; the text stays as it is.
function M.cancel()
  H.running(run.cancel)
end

--- Colour what denoises by how sure the model is, or not.
function M.heat()
  M.config.heat = not M.config.heat
  run.redraw()
  require("dlmd.say").tell("heat map: " .. (M.config.heat and "on" or "off"))
end

--- Suggest while typing, or not.
function M.toggle()
  M.config.trigger = M.config.trigger == "manual" and (H.trigger or "automatic") or "manual"
  H.trigger = M.config.trigger ~= "manual" and M.config.trigger or H.trigger
  suggest.dismiss()
  client.reconfigure(M.config)
  require("dlmd.say").tell("suggestions: " .. M.config.trigger)
end

--- Say why there is no suggestion here.
function M.why_not()
  require("dlmd.inquire").why_not()
end

--- Show what was sent to the model last.
function M.what_was_sent()
  require("dlmd.inquire").what_was_sent()
end

--- Say in one line how things stand.
function M.status()
  require("dlmd.say").tell(require("dlmd.status").line())
end

--- For 'statusline': model and device, or what is wrong.
---@return string
function M.statusline()
  return require("dlmd.status").short()
end

-- What keys may do: when there is something to do it to, and the command for it.
local function action(call, ready)
  return { run = ("lua require('dlmd').%s"):format(call), ready = ready }
end

local function visible(part)
  return function()
    return H.who().visible(part)
  end
end

M.actions = {
  accept = action("accept()", visible()),
  accept_word = action("accept('word')", visible("word")),
  accept_line = action("accept('line')", visible("line")),
  accept_confident = action("accept('confident')", visible("confident")),
  next = action("next()", visible()),
  previous = action("previous()", visible()),
  dismiss = action("dismiss()", visible()),
  show = action("suggest()", function()
    return client.attach(vim.api.nvim_get_current_buf())
  end),
  longer = action("longer()", run.can_run_again),
  shorter = action("shorter()", run.can_run_again),
  stop = action("stop()", run.running),
  cancel = action("cancel()", run.running),
}

-- Who draws suggestions in the current buffer.
function H.who()
  return native.draws(0) and native or suggest
end

function H.running(call)
  if not run.running() then
    return require("dlmd.say").tell("no command is running")
  end
  call()
end

function H.here(buffer)
  return { position = client.position(buffer).position }
end

function H.protocol(buffer, bytes)
  return require("dlmd.columns").protocol(buffer, bytes, client.encoding(buffer))
end

function H.lines(buffer, lines)
  local last = vim.api.nvim_buf_get_lines(buffer, lines[2] - 1, lines[2], false)[1] or ""
  return H.protocol(buffer, { lines[1] - 1, 0, lines[2] - 1, #last })
end

function H.diagnostics(buffer, lines)
  local row = vim.api.nvim_win_get_cursor(0)[1]
  local first, last = unpack(lines or { row, row })
  local found = {}
  for _, one in ipairs(vim.diagnostic.get(buffer)) do
    local bytes = { one.lnum, one.col, one.end_lnum or one.lnum, one.end_col or one.col }
    if bytes[3] >= first - 1 and bytes[1] <= last - 1 then
      table.insert(found, { range = H.protocol(buffer, bytes) })
    end
  end
  return found[1] and found or nil
end

-- What the server pushes, to whoever draws it.
function H.listen()
  client.listen("dlmd/state", function(state)
    if state.kind ~= "inline" then
      run.state(state)
    elseif M.config.live then
      suggest.state(state)
    end
  end)
  client.listen("dlmd/status", function()
    vim.api.nvim_exec_autocmds("User", { pattern = "DlmdStatus", modeline = false })
    vim.cmd.redrawstatus({ bang = true })
  end)
  client.listen("$/progress", run.progress)
  client.listen("workspace/applyEdit", run.applied)
  client.listen("exit", run.lost)
end

function H.watch()
  local group = vim.api.nvim_create_augroup("dlmd", {})
  local function on(events, callback)
    vim.api.nvim_create_autocmd(events, { group = group, callback = callback })
  end
  on({ "FileType", "BufFilePost" }, function(event)
    client.attach(event.buf)
  end)
  on("LspAttach", function(event)
    local ours = client.of(event.buf)
    if ours and ours.id == event.data.client_id then
      native.attach(event.buf, M.config)
    end
  end)
  on({ "TextChangedI", "InsertEnter" }, function(event)
    H.typed(event.buf)
  end)
  on("CursorMovedI", suggest.dismiss_if_moved)
  -- Not InsertLeave: <C-c> leaves without it.
  vim.api.nvim_create_autocmd("ModeChanged", {
    group = group,
    pattern = "i*:[^i]*",
    callback = function()
      suggest.dismiss()
    end,
  })
  on({ "BufLeave", "WinLeave", "VimSuspend" }, function()
    suggest.dismiss()
  end)
  require("dlmd.menu").watch(group, H.menu_opened, H.menu_closed)
  on({ "TextChanged", "TextChangedI", "TextChangedP" }, run.cancel_if_changed)
  on("BufUnload", function(event)
    run.unloaded(event.buf)
  end)
  on({ "BufEnter", "CursorHold" }, function(event)
    H.viewed(event.buf)
  end)
  on("ColorScheme", require("dlmd.ghost").highlights)
end

function H.typed(buffer)
  if vim.bo[buffer].buftype ~= "" or not client.attach(buffer) or native.draws(buffer) then
    suggest.dismiss()
  else
    suggest.changed()
  end
end

function H.menu_opened()
  H.who().dismiss()
end

function H.menu_closed()
  if vim.api.nvim_get_mode().mode:sub(1, 1) == "i" and not native.draws(0) then
    H.typed(vim.api.nvim_get_current_buf())
  end
end

-- The lines on the screen, for what the server keeps of other files.
function H.viewed(buffer)
  if client.of(buffer) and buffer == vim.api.nvim_get_current_buf() then
    local uri = vim.uri_from_bufnr(buffer)
    client.notify(buffer, "dlmd/viewed", { uri = uri, range = H.lines(buffer, { vim.fn.line("w0"), vim.fn.line("w$") }) })
  end
end

return M
