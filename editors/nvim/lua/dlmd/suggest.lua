--- A suggestion while typing: when to ask, what to show, how to take it.
---
--- The language server decides when a model is worth asking and what is worth
--- showing; here every change is reported and every answer drawn, as long as
--- it is for the text and the cursor as they are. At most one suggestion
--- exists. Everything that could make it wrong (cursor moved, other text typed,
--- insert mode left, menu opened) ends in `dismiss()`. Says nothing when it fails.

local candidate = require("dlmd.candidate")
local client = require("dlmd.client")
local ghost = require("dlmd.ghost")
local menu = require("dlmd.menu")
local settle = require("dlmd.settle")

local M = {}
local H = {
  cancel = nil, -- ends the request in flight
  place = nil, -- where the request or the shown text belongs
  shown = nil, -- candidates, the first of them at `index` on the screen
  index = 1,
  told = nil, -- the id that the server knows to be on the screen
}

-- LSP 3.18, InlineCompletionTriggerKind
M.INVOKED, M.AUTOMATIC = 1, 2

--- The text or the cursor may have changed: keep what still fits, and ask.
function M.changed()
  if H.place and H.still_there() then
    return
  end
  local kept = H.typed_ahead()
  if not kept then
    M.dismiss()
  end
  if require("dlmd").config.trigger ~= "manual" or kept then
    M.ask(M.AUTOMATIC)
  end
end

--- Ask for the cursor; a newer question ends the older one.
---@param kind integer
function M.ask(kind)
  H.end_request()
  local place = H.here()
  H.place = place
  -- The first keystrokes come before the server has answered its first message.
  client.when_ready(place.buffer, function()
    if H.place ~= place then
      return -- superseded
    elseif H.can_show() then
      H.send(place, kind)
    else
      M.dismiss()
    end
  end)
end

--- Remove the suggestion, and whatever was under way to become one.
---@param taken? boolean it was put into the text, so nobody refused it
---@param sent_away? boolean somebody wants it gone, so it stays away while what it says is typed
function M.dismiss(taken, sent_away)
  H.end_request()
  if H.place then
    ghost.clear(H.place.buffer)
  end
  if H.shown and H.told and not taken then
    local argument = { id = H.told, dismissed = sent_away or nil }
    client.execute(H.place.buffer, { command = "dlmd.rejected", arguments = { argument } })
  end
  H.shown, H.place, H.told = nil, nil, nil
end

--- Dismiss unless cursor and text are still those the suggestion is for.
function M.dismiss_if_moved()
  if H.place and not H.still_there() and not H.ahead() then
    M.dismiss()
  end
end

--- Is there something on the screen that can be taken?
---@param part? string
function M.visible(part)
  local shown = H.shown and H.shown[H.index]
  return shown ~= nil and H.still_there() and not menu.open() and candidate.length(shown, part or "all") > 0
end

--- How many bytes of what is on the screen a part has.
---@param part string
---@return integer
function M.length(part)
  return H.shown and candidate.length(H.shown[H.index], part) or 0
end

--- Put the suggestion, or its first part, into the buffer, cursor behind it.
---@param part "all"|"word"|"line"|"confident"
---@return boolean accepted
function M.accept(part)
  if not M.visible(part) then
    return false
  end
  local item, place = H.shown[H.index], H.place
  local length = candidate.length(item, part)
  local whole = length == #item.text
  local text = item.text:sub(1, length)
  H.insert(place, text, whole and item.behind or 0)
  if whole then
    M.dismiss(true)
  else
    H.advance(length)
  end
  client.execute(place.buffer, candidate.accepted(item, whole and "all" or part, text))
  if not whole then
    -- What is left is on the screen already; the server counts its parts anew.
    M.ask(M.AUTOMATIC)
  end
  return true
end

--- Show the next candidate, or the one before (-1); ask for more when there is one only.
---@param step integer
function M.cycle(step)
  if not M.visible() then
    return
  elseif #H.shown == 1 then
    return M.ask(M.INVOKED)
  end
  H.index = (H.index - 1 + step) % #H.shown + 1
  H.draw()
end

--- A denoising state (`dlmd/state`) of the suggestion that is asked for.
function M.state(state)
  local place = H.place
  local ours = H.cancel and not H.shown and place and vim.uri_to_bufnr(state.uri) == place.buffer
  if not ours or not client.is_current(place.buffer, state.version) or not H.can_show() then
    return
  end
  if state.done or state.candidate > 0 then
    return state.done and ghost.clear(place.buffer)
  end
  local chunks = settle.chunks(state.holes[1] or {}, {
    settled = "DlmdGhost",
    confidence = (state.confidence or {})[1],
    heat = require("dlmd").config.heat,
  })
  ghost.draw(place.buffer, { { range = { place.row, place.column, place.row, place.column }, chunks = chunks } })
end

function H.send(place, kind)
  local params = client.position(place.buffer)
  params.context = { triggerKind = kind }
  H.cancel = client.request(place.buffer, "textDocument/inlineCompletion", params, function(_, result)
    if H.place ~= place then
      return -- superseded
    end
    H.cancel = nil
    local found = candidate.read(place, result and (result.items or result) or {})
    if found[1] and H.can_show() then
      H.show(found, kind)
    else
      M.dismiss()
    end
  end)
end

function H.show(found, kind)
  -- An answer to "what else" begins with the next one; any other keeps what is looked at.
  local old = H.shown and H.shown[H.index]
  H.index = 1
  for number, item in ipairs(found) do
    if old and item.text == old.text then
      H.index = kind == M.INVOKED and number % #found + 1 or number
    end
  end
  H.shown = found
  H.draw()
end

function H.draw()
  local place, item = H.place, H.shown[H.index]
  local range = { place.row, place.column, place.row, place.column + item.behind }
  local hint = #H.shown > 1 and ("%d/%d"):format(H.index, #H.shown) or nil
  ghost.draw(place.buffer, { { range = range, chunks = { { item.text, "DlmdGhost" } } } }, hint)
  if item.id and H.told ~= item.id then
    H.told = item.id
    client.execute(place.buffer, { command = "dlmd.shown", arguments = { { id = item.id } } })
  end
end

-- Cuts what has been typed of the suggestion off its front, and keeps the rest.
function H.typed_ahead()
  local typed = H.ahead()
  if not typed then
    return false
  end
  H.advance(#typed)
  return H.shown ~= nil
end

function H.advance(length)
  local front = H.shown[H.index].text:sub(1, length)
  local index, left = 1, {}
  for number, item in ipairs(H.shown) do
    if item.text:sub(1, length) == front and #item.text > length then
      table.insert(left, candidate.rest(item, length))
      index = number == H.index and #left or index
    end
  end
  ghost.clear(H.place.buffer)
  H.place, H.index, H.shown = H.here(), index, left[1] and left or nil
  if H.shown and H.can_show() then
    H.draw()
  end
end

-- The text typed since, if the suggestion begins with it and nothing else changed in the line.
function H.ahead()
  local item, was = H.shown and H.shown[H.index], H.place
  local now = H.here()
  if not item or now.buffer ~= was.buffer or now.window ~= was.window or now.row ~= was.row then
    return nil
  end
  local typed = now.line:sub(was.column + 1, now.column)
  local expected = was.line:sub(1, was.column) .. typed .. was.line:sub(was.column + 1)
  return typed ~= "" and now.line == expected and vim.startswith(item.text, typed) and typed or nil
end

function H.insert(place, text, behind)
  -- In a file with CRLF line ends the buffer's lines carry no CR; elsewhere a CR is text.
  local lines = vim.split(text, vim.bo[place.buffer].fileformat == "dos" and "\r?\n" or "\n")
  vim.api.nvim_buf_set_text(place.buffer, place.row, place.column, place.row, place.column + behind, lines)
  local before = #lines == 1 and place.column or 0
  vim.api.nvim_win_set_cursor(0, { place.row + #lines, before + #lines[#lines] })
end

function H.end_request()
  if H.cancel then
    H.cancel()
    H.cancel = nil
  end
end

function H.can_show()
  return H.still_there() and not menu.open() and vim.api.nvim_get_mode().mode:sub(1, 1) == "i"
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

return M
