--- The text that a person has selected, as a byte range.

local M = {}
local H = {}

--- The selection of visual mode, or else the last one.
---@return integer[] row, column, end row, end column: zero-based, in bytes
function M.now()
  local mode = vim.api.nvim_get_mode().mode:sub(1, 1)
  if mode == "v" or mode == "V" or mode == "\22" then
    return H.between(vim.fn.getpos("v"), vim.fn.getpos("."), mode)
  end
  return H.between(vim.fn.getpos("'<"), vim.fn.getpos("'>"), vim.fn.visualmode())
end

--- What a command with a range is for: the selection if it was made of that, else whole lines.
---@param first integer
---@param last integer
function M.of_command(first, last)
  if vim.fn.line("'<") == first and vim.fn.line("'>") == last and vim.fn.visualmode() == "v" then
    return M.now()
  end
  return { first - 1, 0, last - 1, #vim.fn.getline(last) }
end

function H.between(from, to, mode)
  if from[2] > to[2] or (from[2] == to[2] and from[3] > to[3]) then
    from, to = to, from
  end
  local last = vim.fn.getline(to[2])
  if mode ~= "v" then
    return { from[2] - 1, 0, to[2] - 1, #last }
  end
  -- The last character belongs to the selection, all bytes of it.
  local inclusive = vim.o.selection ~= "exclusive"
  local ends = inclusive and vim.fn.matchend(last, ".", to[3] - 1) or to[3] - 1
  return { from[2] - 1, math.min(from[3] - 1, #vim.fn.getline(from[2])), to[2] - 1, ends < 0 and #last or ends }
end

return M
