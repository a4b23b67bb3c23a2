--- One sentence to the person, for what they asked for or must do.
---
--- A warning is never a "Press ENTER": where it is too long for the screen it is
--- cut, and `:DlmdStatus` has the whole of it.

local M = {}
local H = {}

---@param sentence string
function M.warn(sentence)
  local text = H.line(sentence)
  local room = vim.v.echospace
  if vim.fn.strdisplaywidth(text) > room then
    local hint = "… :DlmdStatus"
    text = vim.fn.strcharpart(text, 0, math.max(room - vim.fn.strdisplaywidth(hint), 0)) .. hint
  end
  vim.api.nvim_echo({ { text, "WarningMsg" } }, true, {})
end

--- The answer to a question of the person's, whole.
---@param sentence string
function M.tell(sentence)
  vim.api.nvim_echo({ { H.line(sentence) } }, true, {})
end

function H.line(sentence)
  return "(dlmd) " .. sentence:gsub("%s*\n%s*", " ")
end

return M
