--- Neovim's own `vim.lsp.inline_completion` (0.12) in our place.
---
--- It draws and asks by itself, for every language server that has inline
--- completion. It takes only whole items, shows what came late, and does not
--- end an older request; what is added here is parts of items, a guard against
--- answers for an older text, and the end of older requests. Everything of
--- Neovim's that is used is public but the name of its namespace.

local candidate = require("dlmd.candidate")
local client = require("dlmd.client")
local menu = require("dlmd.menu")

local M = {}
local H = { fresh = nil, invoked = false }

local METHOD = "textDocument/inlineCompletion"

--- Does Neovim draw the suggestions of a buffer?
function M.draws(buffer)
  local config = require("dlmd").config
  if not vim.lsp.inline_completion or not config or config.native == false then
    return false
  end
  return vim.lsp.inline_completion.is_enabled({ bufnr = buffer })
end

--- A server of ours runs for a buffer: have Neovim draw it, or have it not.
function M.attach(buffer, config)
  if not vim.lsp.inline_completion then
    return
  elseif config.native == true then
    vim.lsp.inline_completion.enable(true, { bufnr = buffer })
  elseif config.native == false then
    local ours = client.of(buffer)
    if ours then
      vim.lsp.inline_completion.enable(false, { client_id = ours.id })
    end
  end
  if M.draws(buffer) and buffer == vim.api.nvim_get_current_buf() and vim.api.nvim_get_mode().mode:sub(1, 1) == "i" then
    -- Typing began before the server was there, and nothing was asked since.
    -- Neovim prepares the buffer in a step of its own, which this has to come after.
    vim.schedule(vim.schedule_wrap(H.nudge))
  end
end

--- Let a client of ours answer Neovim only for the text and cursor that it asked about.
function M.guard(started)
  if not vim.lsp.inline_completion then
    return
  end
  local request = started.request
  started.request = function(self, method, params, handler, buffer)
    if method ~= METHOD or not M.draws(buffer) then
      return request(self, method, params, handler, buffer)
    end
    if H.pending then
      self:cancel_request(H.pending)
    end
    params.context.triggerKind = H.invoked and 1 or params.context.triggerKind
    H.invoked = false
    local place = H.here()
    local sent, id = request(self, method, params, function(err, result, ...)
      H.pending = nil
      local items = result and (result.items or result) or {}
      if err or not vim.deep_equal(place, H.here()) or menu.open() then
        items = {}
      end
      H.fresh = items[1] and place
      handler(nil, { items = items }, ...)
    end, buffer)
    H.pending = sent and id or nil
    return sent, id
  end
end

--- Is there something on the screen that can be taken?
function M.visible()
  local buffer = vim.api.nvim_get_current_buf()
  local space = vim.api.nvim_get_namespaces()["nvim.lsp.inline_completion"]
  local drawn = space and vim.api.nvim_buf_get_extmarks(buffer, space, 0, -1, { limit = 1 })[1]
  return drawn ~= nil and not menu.open() and H.fresh and vim.deep_equal(H.fresh, H.here()) or false
end

--- Take the suggestion, or its first part.
---@param part "all"|"word"|"line"|"confident"
function M.accept(part)
  if not M.visible() then
    return false
  end
  return vim.lsp.inline_completion.get({
    on_accept = function(item)
      local ours = item.client_id == (client.of(0) or {}).id
      if part == "all" or not ours then
        -- What is typed next is another step of undo; Neovim puts the item in after this.
        vim.schedule(H.break_undo)
        return item
      end
      H.take(item, part)
    end,
  })
end

--- Another candidate.
function M.cycle(step)
  vim.lsp.inline_completion.select({ count = step })
end

--- Ask now: Neovim has no way to, but it asks when the cursor moves.
function M.ask()
  H.invoked = true
  H.nudge()
end

--- Hide, until the next change.
function M.dismiss()
  local space = vim.api.nvim_get_namespaces()["nvim.lsp.inline_completion"]
  if space then
    vim.api.nvim_buf_clear_namespace(0, space, 0, -1)
  end
  H.fresh = nil
end

function H.nudge()
  vim.api.nvim_exec_autocmds("CursorMovedI", { buffer = vim.api.nvim_get_current_buf() })
end

function H.take(item, part)
  local buffer, cursor = vim.api.nvim_get_current_buf(), vim.api.nvim_win_get_cursor(0)
  local place = { buffer = buffer, row = cursor[1] - 1, column = cursor[2], line = vim.api.nvim_get_current_line() }
  local found = candidate.read(place, { { insertText = item.insert_text, command = item.command } })[1]
  if found then
    local text = found.text:sub(1, candidate.length(found, part))
    vim.api.nvim_paste(text, false, -1)
    client.execute(buffer, candidate.accepted(found, part, text))
    H.break_undo()
  end
end

function H.break_undo()
  vim.api.nvim_feedkeys(vim.keycode("<C-g>u"), "n", false)
end

function H.here()
  return {
    vim.api.nvim_get_current_buf(),
    vim.api.nvim_buf_get_changedtick(0),
    vim.api.nvim_win_get_cursor(0),
  }
end

return M
