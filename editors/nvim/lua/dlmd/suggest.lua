--- A suggestion while typing: when to ask, what to show, how to take it.
---
--- At most one suggestion exists, for the current window's cursor. Everything
--- that could make it wrong (cursor moved, text changed, insert mode left,
--- pop-up menu shown) ends in `dismiss()`. Says nothing when it fails.

local client = require("dlmd.client")
local ghost = require("dlmd.ghost")

local M = {}
local H = {
  timer = nil, -- waiting for a pause in typing
  cancel = nil, -- ends the request in flight
  place = nil, -- where the timer, the request or the shown text belongs
  shown = nil, -- the item on the screen
}

-- LSP 3.18, InlineCompletionTriggerKind
local INVOKED, AUTOMATIC = 1, 2

--- Ask after a pause; a newer call supersedes an older one.
---@param wait_ms integer
---@param kind? integer
function M.schedule(wait_ms, kind)
  M.dismiss()
  H.place = H.here()
  local timer = assert(vim.uv.new_timer())
  H.timer = timer
  timer:start(wait_ms, 0, vim.schedule_wrap(function()
    if H.timer == timer then
      H.close_timer()
      H.when_ready(kind or AUTOMATIC)
    end
  end))
end

--- Ask now, as a person who pressed a key for it.
function M.now()
  if client.attach(vim.api.nvim_get_current_buf()) then
    M.schedule(0, INVOKED)
  end
end

--- Remove the suggestion, and whatever was under way to become one.
function M.dismiss()
  H.close_timer()
  if H.cancel then
    H.cancel()
    H.cancel = nil
  end
  if H.place then
    ghost.clear(H.place.buffer)
  end
  H.shown, H.place = nil, nil
end

--- Dismiss unless cursor and text are still those the suggestion is for.
function M.dismiss_if_moved()
  if H.place and not H.still_there() then
    M.dismiss()
  end
end

--- Is there something on the screen that can be taken?
function M.visible()
  return H.shown ~= nil and H.still_there() and vim.fn.pumvisible() == 0
end

--- Put the suggestion into the buffer, cursor behind it.
---@return boolean accepted
function M.accept()
  if not M.visible() then
    return false
  end
  local item, place = H.shown, H.place
  M.dismiss()
  local row, column, end_column = H.span(place, item.range)
  local lines = H.lines(place.buffer, item.insertText)
  vim.api.nvim_buf_set_text(place.buffer, row, column, row, end_column, lines)
  local before = #lines == 1 and column or 0
  vim.api.nvim_win_set_cursor(0, { row + #lines, before + #lines[#lines] })
  if item.command then
    client.execute(place.buffer, item.command)
  end
  return true
end

--- A denoising state (`dlmd/state`) of the suggestion that is asked for.
function M.state(state)
  local place = H.place
  local ours = H.cancel and place and vim.uri_to_bufnr(state.uri) == place.buffer
  if not ours or not client.is_current(place.buffer, state.version) or not H.can_show() then
    return
  end
  if state.done then
    ghost.clear(place.buffer)
  else
    ghost.draw(place.buffer, place.row, place.column, state.holes[1] or {})
  end
end

-- The first keystrokes come before the server has answered its first message.
function H.when_ready(kind)
  local place = H.place
  client.when_ready(place.buffer, function()
    if H.place ~= place then
      return -- superseded
    elseif H.can_show() then
      H.ask(place, kind)
    else
      M.dismiss()
    end
  end)
end

function H.ask(place, kind)
  local params = client.position(place.buffer)
  params.context = { triggerKind = kind }
  H.cancel = client.request(place.buffer, "textDocument/inlineCompletion", params, function(_, result)
    if H.place ~= place then
      return -- superseded
    end
    H.cancel = nil
    local items = result and (result.items or result) or {}
    if items[1] and H.can_show() then
      H.show(items[1])
    else
      M.dismiss()
    end
  end)
end

function H.show(item)
  local place = H.place
  local row, column, end_column = H.span(place, item.range)
  local text = item.insertText:gsub("\r\n", "\n")
  -- What the item repeats of the text before the cursor is on the screen already.
  local typed = place.line:sub(column + 1, place.column)
  local one_line = not item.range or item.range.start.line == item.range["end"].line
  if row ~= place.row or not one_line or end_column < place.column or text:sub(1, #typed) ~= typed or #text == #typed then
    return M.dismiss()
  end
  H.shown = item
  ghost.draw(place.buffer, place.row, place.column, { text:sub(#typed + 1) })
end

-- The bytes that an item replaces: row, first column, column behind the last.
function H.span(place, range)
  if not range then
    return place.row, place.column, place.column
  end
  local start = client.byte_column(place.buffer, place.line, range.start.character)
  local stop = client.byte_column(place.buffer, place.line, range["end"].character)
  return range.start.line, start, stop
end

-- In a file with CRLF line ends the buffer's lines carry no CR; elsewhere a CR is text.
function H.lines(buffer, text)
  local separator = vim.bo[buffer].fileformat == "dos" and "\r?\n" or "\n"
  return vim.split(text, separator)
end

function H.can_show()
  return H.still_there() and vim.fn.pumvisible() == 0 and vim.api.nvim_get_mode().mode:sub(1, 1) == "i"
end

function H.still_there()
  local here = H.here()
  for key, value in pairs(here) do
    if H.place[key] ~= value then
      return false
    end
  end
  return true
end

function H.here()
  local buffer = vim.api.nvim_get_current_buf()
  local cursor = vim.api.nvim_win_get_cursor(0)
  return {
    buffer = buffer,
    window = vim.api.nvim_get_current_win(),
    row = cursor[1] - 1,
    column = cursor[2],
    tick = vim.api.nvim_buf_get_changedtick(buffer),
    line = vim.api.nvim_get_current_line(),
  }
end

function H.close_timer()
  if H.timer then
    H.timer:stop()
    H.timer:close()
    H.timer = nil
  end
end

return M
