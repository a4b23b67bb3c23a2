--- Ghost text: text that is drawn in the buffer but is not in it.
---
--- Knows rows, byte columns and pieces (settled text, or a number of tokens
--- that are still masked). Knows no language server and no request: whoever
--- draws decides when it goes. One namespace, one drawing per buffer, so that
--- clearing the namespace removes everything this plugin ever drew.

local M = {}
local H = {}

M.namespace = vim.api.nvim_create_namespace("dlmd")

--- Draw `pieces` at a position, in place of what was drawn before.
---@param buffer integer
---@param row integer zero-based
---@param column integer zero-based, in bytes
---@param pieces (string|integer)[] settled text, or a run of masked tokens
---@param note? string drawn at the end of the line (what is being waited for)
---@return boolean drawn false when the position is not in the buffer any more
function M.draw(buffer, row, column, pieces, note)
  M.clear(buffer)
  local line = vim.api.nvim_buf_get_lines(buffer, row, row + 1, false)[1]
  if line == nil or column > #line then
    return false
  end
  local lines = H.lines(pieces, vim.fn.strdisplaywidth(line:sub(1, column)), vim.bo[buffer].tabstop)
  local mark = { virt_text_pos = "inline", hl_mode = "combine", virt_text = lines[1] }
  if #lines > 1 then
    mark.virt_lines = vim.list_slice(lines, 2)
  end
  vim.api.nvim_buf_set_extmark(buffer, M.namespace, row, column, mark)
  if note and note ~= "" then
    vim.api.nvim_buf_set_extmark(buffer, M.namespace, row, #line, {
      virt_text = { { "  " .. note, "DlmdNote" } },
      virt_text_pos = "eol",
    })
  end
  return true
end

--- Remove everything that was drawn in a buffer.
---@param buffer integer
function M.clear(buffer)
  if vim.api.nvim_buf_is_valid(buffer) then
    vim.api.nvim_buf_clear_namespace(buffer, M.namespace, 0, -1)
  end
end

--- The colours; links, so that a colour scheme decides, and a user's own
--- definition of the same group wins.
function M.highlights()
  local links = { DlmdGhost = "Comment", DlmdMask = "NonText", DlmdNote = "NonText" }
  for group, link in pairs(links) do
    vim.api.nvim_set_hl(0, group, { default = true, link = link })
  end
end

-- Pieces as screen lines, each a list of { text, highlight } chunks.
function H.lines(pieces, width, tabstop)
  local lines = { {} }
  for _, piece in ipairs(pieces) do
    if type(piece) == "number" then
      table.insert(lines[#lines], { ("░"):rep(piece), "DlmdMask" })
    else
      for number, text in ipairs(vim.split(piece, "\r?\n")) do
        if number > 1 then
          table.insert(lines, {})
          width = 0
        end
        table.insert(lines[#lines], { H.printable(text, width, tabstop), "DlmdGhost" })
      end
    end
  end
  return lines
end

-- Virtual text draws control characters raw, so a tab has to be laid out here.
function H.printable(text, width, tabstop)
  local out = {}
  for part, tab in text:gmatch("([^\t]*)(\t?)") do
    part = part:gsub("%c", "·")
    width = width + vim.fn.strdisplaywidth(part)
    local gap = tab == "" and 0 or tabstop - width % tabstop
    width = width + gap
    table.insert(out, part .. (" "):rep(gap))
  end
  return table.concat(out)
end

return M
