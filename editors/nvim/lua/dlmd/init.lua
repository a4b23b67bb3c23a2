--- dlmd in Neovim: ghost text from a masked-diffusion model.
---
---   require("dlmd").setup({})
---
--- Draws and forwards, nothing more: what to ask for and what a good answer
--- is, the language server (`dlmd lsp`) knows. This file wires settings, keys
--- and events to the files beside it.
---
--- What it doesn't do: completion menus, chat, syntax, starting a daemon (the
--- language server does), and speaking up while you type.

local client = require("dlmd.client")
local complete = require("dlmd.complete")
local suggest = require("dlmd.suggest")

local M = {}
local H = {}

---@type table|nil the checked settings; nil until setup() was called
M.config = nil

--- Check the settings, map the keys, watch the buffers.
---@param config? table see lua/dlmd/config.lua
function M.setup(config)
  if vim.fn.has("nvim-0.10") == 0 then
    error("(dlmd) Neovim 0.10 or newer is needed", 0)
  end
  M.config = require("dlmd.config").merge(config)
  require("dlmd.ghost").highlights()
  require("dlmd.keys").map(M.config.keys.accept)
  H.listen()
  H.watch()
  for _, buffer in ipairs(vim.api.nvim_list_bufs()) do
    client.attach(buffer)
  end
end

--- Ask for a suggestion at the cursor now; for a mapping in insert mode.
function M.suggest()
  suggest.now()
end

--- Take the suggestion. False when there is none.
---@return boolean
function M.accept()
  return suggest.accept()
end

--- Is a suggestion on the screen?
---@return boolean
function M.visible()
  return suggest.visible()
end

--- Remove the suggestion.
function M.dismiss()
  suggest.dismiss()
end

--- The keys an expression mapping should return: accept, or `otherwise`.
---
---   vim.keymap.set("i", "<C-l>", function()
---     return require("dlmd").accept_or("<C-l>")
---   end, { expr = true, remap = true })
---@param otherwise string
---@return string
function M.accept_or(otherwise)
  return require("dlmd.keys").accept_or(suggest.visible(), otherwise)
end

--- Fill the body of the function at the cursor.
function M.complete()
  complete.start()
end

--- Stop filling.
function M.cancel()
  complete.cancel()
end

--- Say in one line how things stand.
function M.status()
  vim.api.nvim_echo({ { require("dlmd.status").line() } }, true, {})
end

-- What the server pushes, to whoever draws it.
function H.listen()
  client.listen("dlmd/state", function(state)
    local whose = state.kind == "function" and complete or suggest
    whose.state(state)
  end)
  client.listen("$/progress", complete.progress)
  client.listen("workspace/applyEdit", complete.applied)
end

function H.watch()
  local group = vim.api.nvim_create_augroup("dlmd", {})
  local function on(events, callback)
    vim.api.nvim_create_autocmd(events, { group = group, callback = callback })
  end
  on({ "FileType", "BufFilePost" }, function(event)
    client.attach(event.buf)
  end)
  on({ "TextChangedI", "InsertEnter" }, function(event)
    H.typed(event.buf)
  end)
  on("CursorMovedI", suggest.dismiss_if_moved)
  -- Not InsertLeave: <C-c> leaves without it.
  vim.api.nvim_create_autocmd("ModeChanged", { group = group, pattern = "i*:[^i]*", callback = suggest.dismiss })
  on({ "CompleteChanged", "TextChangedP", "BufLeave", "WinLeave", "VimSuspend" }, suggest.dismiss)
  on({ "TextChanged", "TextChangedI", "TextChangedP" }, complete.cancel_if_changed)
  on("ColorScheme", require("dlmd.ghost").highlights)
end

function H.typed(buffer)
  if not M.config.auto or vim.bo[buffer].buftype ~= "" then
    return suggest.dismiss()
  end
  if client.attach(buffer) then
    suggest.schedule(M.config.debounce_ms)
  else
    suggest.dismiss()
  end
end

return M
