--- Columns and lengths: the protocol's units into bytes, and back.
---
--- Bridges the functions of Neovim 0.10 and 0.11 on strings. Knows no buffer
--- but by its lines, and no server but by how it counts.

local M = {}
local H = {}

--- Bytes in the first `units` of a text; past its end means all of it.
---@param text string
---@param units integer
---@param encoding string "utf-8", "utf-16" or "utf-32"
function M.bytes(text, units, encoding)
  if encoding == "utf-8" then
    return math.min(units, #text)
  elseif vim.fn.has("nvim-0.11") == 1 then
    return vim.str_byteindex(text, encoding, units, false)
  end
  return vim.str_byteindex(text, math.min(units, M.units(text, encoding)), encoding == "utf-16")
end

--- How long a text is.
---@param text string
---@param encoding string
function M.units(text, encoding)
  if encoding == "utf-8" then
    return #text
  elseif vim.fn.has("nvim-0.11") == 1 then
    return vim.str_utfindex(text, encoding)
  end
  local utf32, utf16 = vim.str_utfindex(text)
  return encoding == "utf-16" and utf16 or utf32
end

--- A range of the protocol as row, column, end row, end column: zero-based, in bytes.
function M.range(buffer, range, encoding)
  local function place(position)
    return position.line, M.bytes(H.line(buffer, position.line), position.character, encoding)
  end
  local row, column = place(range.start)
  local end_row, end_column = place(range["end"])
  return { row, column, end_row, end_column }
end

--- A byte range as the protocol's.
function M.protocol(buffer, bytes, encoding)
  local function place(row, column)
    return { line = row, character = M.units(H.line(buffer, row):sub(1, column), encoding) }
  end
  return { start = place(bytes[1], bytes[2]), ["end"] = place(bytes[3], bytes[4]) }
end

function H.line(buffer, row)
  return vim.api.nvim_buf_get_lines(buffer, row, row + 1, false)[1] or ""
end

return M
