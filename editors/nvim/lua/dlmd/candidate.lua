--- One suggestion as text behind the cursor, and the lengths of its parts.
---
--- Turns the protocol's items (UTF-16 units, a range in the line) into bytes
--- behind the cursor and back. Pure functions on tables; draws nothing.

local client = require("dlmd.client")
local columns = require("dlmd.columns")

local M = {}
local H = {}

---@class dlmd.Candidate
---@field text string what would be put in at the cursor
---@field behind integer bytes behind the cursor that give way to it
---@field parts table<string, integer> bytes of `text` in each part
---@field id? string the server's name for it
---@field command? table what to run when all of it was taken

--- The items that can be shown at a place, which names buffer, row, column and line.
---@return dlmd.Candidate[]
function M.read(place, items)
  local found = {}
  for _, item in ipairs(items) do
    table.insert(found, H.read(place, item))
  end
  return found
end

--- How many bytes a part has; "line" and "word" of what is left have one at least.
---@param item dlmd.Candidate
---@param part string
function M.length(item, part)
  if part == "all" then
    return #item.text
  end
  local length = math.min(item.parts[part], #item.text)
  -- A part never ends between the two bytes of a line end.
  return item.text:sub(length, length + 1) == "\r\n" and length - 1 or length
end

--- What is left when the first bytes are in the text.
---@param item dlmd.Candidate
---@param length integer
---@return dlmd.Candidate
function M.rest(item, length)
  local text = item.text:sub(length + 1)
  local function left(part, otherwise)
    local bytes = item.parts[part] - length
    return bytes > 0 and bytes or otherwise
  end
  local parts = {
    word = left("word", H.word(text)),
    line = left("line", H.line(text)),
    confident = left("confident", 0),
  }
  return vim.tbl_extend("force", item, { text = text, parts = parts })
end

--- The command that tells the server what was taken.
function M.accepted(item, part, text)
  local arguments = { id = item.id, part = part, characters = columns.units(text, "utf-16") }
  return { command = "dlmd.accepted", arguments = { arguments } }
end

function H.read(place, item)
  local text = item.insertText
  local first, last = place.column, place.column
  if item.range then
    local from, to = item.range.start, item.range["end"]
    if from.line ~= place.row or to.line ~= place.row then
      return nil
    end
    local encoding = client.encoding(place.buffer)
    first = columns.bytes(place.line, from.character, encoding)
    last = columns.bytes(place.line, to.character, encoding)
  end
  -- What the item repeats of the text before the cursor is on the screen already.
  local typed = place.line:sub(first + 1, place.column)
  if first > place.column or last < place.column or not vim.startswith(text, typed) or #text == #typed then
    return nil
  end
  local about = H.about(item)
  local function bytes(part, otherwise)
    return type(about[part]) == "number" and columns.bytes(text, about[part], "utf-16") or otherwise
  end
  local whole = {
    text = text,
    behind = last - place.column,
    id = about.id,
    parts = { word = bytes("word", H.word(text)), line = bytes("line", H.line(text)), confident = bytes("confident", 0) },
  }
  return #typed > 0 and M.rest(whole, #typed) or whole
end

function H.about(item)
  local about = item.command and item.command.arguments and item.command.arguments[1]
  return type(about) == "table" and about or {}
end

-- Only until the server has counted what is left.
function H.word(text)
  return vim.fn.matchend(text, [[\v^\_s*%(\k+|\K|.)]])
end

function H.line(text)
  local border = text:find("\n", 2, true)
  return border and border - 1 or #text
end

return M
