--- Ghost text: text that is drawn in the buffer but is not in it.
---
--- Knows byte ranges and chunks of text with their colours. Knows no language
--- server and no request: whoever draws decides when it goes. One namespace,
--- one drawing per buffer, so that clearing the namespace removes everything
--- this plugin ever drew.

local M = {}
local H = {}

M.namespace = vim.api.nvim_create_namespace("dlmd")

---@class dlmd.Hole
---@field range integer[] row, column, end row, end column: zero-based, in bytes
---@field chunks string[][] text and highlight group; a text may hold line breaks

--- Draw holes in place of what was drawn before, and of the text in their ranges.
---@param buffer integer
---@param holes dlmd.Hole[] in the order of the text
---@param note? string drawn at the end of the first line (what is being waited for)
---@return boolean drawn false when a place is not in the buffer any more
function M.draw(buffer, holes, note)
  M.clear(buffer)
  for _, hole in ipairs(holes) do
    if not H.exists(buffer, hole.range) then
      return false
    end
  end
  local noted = note and note ~= "" and { "  " .. note, "DlmdNote" } or nil
  local room = H.room(buffer)
  for number, hole in ipairs(H.merged(buffer, holes)) do
    H.draw(buffer, hole.range, hole.chunks, room, number == 1 and noted or nil)
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
  local links = {
    DlmdGhost = "Comment",
    DlmdSettled = "Normal",
    DlmdFresh = "DiffAdd",
    DlmdMask = "NonText",
    DlmdRest = "Normal",
    DlmdNote = "NonText",
    DlmdHeat1 = "DiagnosticError",
    DlmdHeat2 = "DiagnosticWarn",
    DlmdHeat3 = "DiagnosticInfo",
    DlmdHeat4 = "DiagnosticHint",
    DlmdHeat5 = "DiagnosticOk",
  }
  for group, link in pairs(links) do
    vim.api.nvim_set_hl(0, group, { default = true, link = link })
  end
end

function H.draw(buffer, range, chunks, room, note)
  local row, column, end_row, end_column = unpack(range)
  local first = H.line(buffer, row)
  local before = vim.fn.strdisplaywidth(first:sub(1, column))
  local lines = H.lines(chunks, before, vim.bo[buffer].tabstop)
  local rest = H.line(buffer, end_row):sub(end_column + 1)
  local empty = row == end_row and column == end_column
  if empty and (#lines == 1 or rest == "") then
    -- Neovim wraps what stands inside a line, but not what stands below it.
    local below = H.wrapped(vim.list_slice(lines, 2), 0, room)
    local width = vim.fn.strdisplaywidth(first) + H.width(lines[1])
    if note and width + H.width({ note }) <= room then
      vim.api.nvim_buf_set_extmark(buffer, M.namespace, row, 0, { virt_text = { note }, virt_text_pos = "eol" })
    elseif note then
      table.insert(below, { note })
    end
    return H.mark(buffer, row, column, "inline", vim.list_extend({ lines[1] }, below))
  end
  -- The text that gives way is covered, not moved, so that the screen shows what will be.
  table.insert(lines[#lines], { H.printable(rest, H.width(lines[#lines]), vim.bo[buffer].tabstop), "DlmdRest" })
  H.cover(buffer, range, H.noted(H.wrapped(lines, before, room), before, room, note))
end

function H.cover(buffer, range, lines)
  local row, column, end_row = unpack(range)
  for at = row, end_row do
    local from = at == row and column or 0
    local before = vim.fn.strdisplaywidth(H.line(buffer, at):sub(1, from))
    local covered = vim.fn.strdisplaywidth(H.line(buffer, at)) - before
    local line = lines[at - row + 1] or {}
    table.insert(line, { (" "):rep(covered - H.width(line)), "DlmdRest" })
    H.mark(buffer, at, from, "overlay", { line, unpack(lines, at == end_row and end_row - row + 2 or #lines + 1) })
  end
end

-- The note behind the first line, or behind the last, or below them all.
function H.noted(lines, before, room, note)
  if note then
    local width = H.width({ note })
    if before % room + H.width(lines[1]) + width <= room then
      table.insert(lines[1], note)
    elseif #lines > 1 and H.width(lines[#lines]) + width <= room then
      table.insert(lines[#lines], note)
    else
      table.insert(lines, { note })
    end
  end
  return lines
end

-- What does not fit goes on in lines of its own: masked line ends make long lines.
function H.wrapped(lines, before, room)
  local out = {}
  before = before % room -- the line that it begins in may be wrapped itself
  for _, line in ipairs(lines) do
    local current, width = {}, before
    for _, chunk in ipairs(line) do
      local text = chunk[1]
      while width + vim.fn.strdisplaywidth(text) > room do
        local fits = H.fitting(text, room - width)
        table.insert(current, { text:sub(1, fits), chunk[2] })
        table.insert(out, current)
        current, width, text = {}, 0, text:sub(fits + 1)
      end
      table.insert(current, { text, chunk[2] })
      width = width + vim.fn.strdisplaywidth(text)
    end
    table.insert(out, current)
    before = 0
  end
  return out
end

-- How many bytes of a text fit into so many cells.
function H.fitting(text, cells)
  local bytes = 0
  for _, character in ipairs(vim.fn.split(text, [[\zs]])) do
    cells = cells - vim.fn.strdisplaywidth(character)
    if cells < 0 then
      break
    end
    bytes = bytes + #character
  end
  return bytes
end

-- The cells of a line in the window that shows the buffer.
function H.room(buffer)
  local window = vim.api.nvim_get_current_buf() == buffer and vim.api.nvim_get_current_win() or vim.fn.bufwinid(buffer)
  local info = vim.fn.getwininfo(window)[1]
  return info and math.max(info.width - info.textoff, 20) or vim.o.columns
end

-- The first line at a column, the others below its row.
function H.mark(buffer, row, column, how, lines)
  -- What is covered lends its colours to nothing; what is put between keeps those of its line.
  local mode = how == "overlay" and "replace" or "combine"
  local mark = { virt_text_pos = how, hl_mode = mode, virt_text = lines[1] }
  if #lines > 1 then
    mark.virt_lines = vim.list_slice(lines, 2)
  end
  vim.api.nvim_buf_set_extmark(buffer, M.namespace, row, column, mark)
end

-- Holes that share a line become one, with the text between them in it.
function H.merged(buffer, holes)
  local merged = {}
  for _, hole in ipairs(holes) do
    local last = merged[#merged]
    if last and last.range[3] == hole.range[1] then
      local between = H.line(buffer, hole.range[1]):sub(last.range[4] + 1, hole.range[2])
      vim.list_extend(last.chunks, { { between, "DlmdRest" } })
      vim.list_extend(last.chunks, hole.chunks)
      last.range = { last.range[1], last.range[2], hole.range[3], hole.range[4] }
    else
      table.insert(merged, { range = hole.range, chunks = vim.list_extend({}, hole.chunks) })
    end
  end
  return merged
end

function H.exists(buffer, range)
  local count = vim.api.nvim_buf_line_count(buffer)
  return range[3] < count and range[2] <= #H.line(buffer, range[1]) and range[4] <= #H.line(buffer, range[3])
end

function H.line(buffer, row)
  return vim.api.nvim_buf_get_lines(buffer, row, row + 1, false)[1] or ""
end

-- Chunks as screen lines, each a list of { text, highlight } chunks.
function H.lines(chunks, width, tabstop)
  local lines = { {} }
  for _, chunk in ipairs(chunks) do
    for number, text in ipairs(vim.split(chunk[1], "\r?\n")) do
      if number > 1 then
        table.insert(lines, {})
        width = 0
      end
      local shown = H.printable(text, width, tabstop)
      width = width + vim.fn.strdisplaywidth(shown)
      if shown ~= "" then
        table.insert(lines[#lines], { shown, chunk[2] })
      end
    end
  end
  return lines
end

function H.width(line)
  local width = 0
  for _, chunk in ipairs(line) do
    width = width + vim.fn.strdisplaywidth(chunk[1])
  end
  return width
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
