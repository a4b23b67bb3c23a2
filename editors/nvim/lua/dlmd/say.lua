--- One sentence to the person, for what they asked for or must do.
---
--- Never a "Press ENTER": a sentence too long for the screen is cut, and
--- `:DlmdStatus` has the whole of it.

local M = {}

---@param sentence string
function M.warn(sentence)
  local text = "(dlmd) " .. sentence:gsub("%s*\n%s*", " ")
  local room = vim.v.echospace
  if vim.fn.strdisplaywidth(text) > room then
    local hint = "… :DlmdStatus"
    text = vim.fn.strcharpart(text, 0, math.max(room - vim.fn.strdisplaywidth(hint), 0)) .. hint
  end
  vim.api.nvim_echo({ { text, "WarningMsg" } }, true, {})
end

return M
