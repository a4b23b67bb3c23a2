--- Is a completion menu open? Then it has the keys, and suggestions hide.
---
--- Neovim's own, and those that two popular plugins draw themselves. Knows
--- nothing of suggestions.

local M = {}
local H = {}

---@return boolean
function M.open()
  return vim.fn.pumvisible() == 1 or H.says("cmp", "visible") or H.says("blink.cmp", "is_visible")
end

--- Have a function called when a menu opens, and one when it has closed.
function M.watch(group, opened, closed)
  local function on(events, pattern, callback)
    vim.api.nvim_create_autocmd(events, { group = group, pattern = pattern, callback = callback })
  end
  on({ "CompleteChanged", "TextChangedP" }, "*", opened)
  on("CompleteDone", "*", vim.schedule_wrap(closed))
  on("User", "BlinkCmpMenuOpen", opened)
  on("User", "BlinkCmpMenuClose", vim.schedule_wrap(closed))
  on("InsertEnter", "*", function()
    local cmp = package.loaded.cmp
    if type(cmp) == "table" and cmp.event and cmp ~= H.watched then
      H.watched = cmp
      cmp.event:on("menu_opened", opened)
      cmp.event:on("menu_closed", vim.schedule_wrap(closed))
    end
  end)
end

-- Asked only where the plugin runs already.
function H.says(name, question)
  local plugin = package.loaded[name]
  local ask = type(plugin) == "table" and rawget(plugin, question)
  if type(ask) ~= "function" then
    return false
  end
  local asked, answer = pcall(ask)
  return asked and answer == true
end

return M
