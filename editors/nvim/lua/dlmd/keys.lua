--- The accept key: ours when there is something to accept, else what it was.
---
--- Knows mappings. Knows nothing of suggestions; `accept_or()` decides.

local M = {}
local H = { mapped = nil }

local ACCEPT, OTHERWISE = "<Plug>(dlmd-accept)", "<Plug>(dlmd-otherwise)"

--- The keys an expression mapping should return.
---@param visible boolean is there something to accept?
---@param otherwise string
function M.accept_or(visible, otherwise)
  return visible and ACCEPT or otherwise
end

--- Map the accept key (false: none), and give an earlier one back.
---@param key string|false
function M.map(key)
  -- <C-g>u on both sides: taking a suggestion is one step of undo, and what
  -- was typed before and after it are others.
  vim.keymap.set("i", ACCEPT, "<C-g>u<Cmd>lua require('dlmd').accept()<CR><C-g>u")
  if H.mapped and H.mapped ~= key then
    H.give_back()
  end
  if key and H.mapped ~= key then
    H.keep(key)
    vim.keymap.set("i", key, function()
      return require("dlmd").accept_or(OTHERWISE)
    end, { expr = true, remap = true, desc = "Accept the dlmd suggestion" })
    H.mapped = key
  end
end

-- What the key did before lives on under a name of ours, with all its attributes.
function H.keep(key)
  local mapping = H.find(key)
  H.had_mapping = mapping ~= nil
  if mapping then
    vim.fn.mapset("i", false, H.renamed(mapping, OTHERWISE))
  else
    vim.keymap.set("i", OTHERWISE, key)
  end
end

function H.give_back()
  vim.keymap.del("i", H.mapped)
  if H.had_mapping then
    vim.fn.mapset("i", false, H.renamed(assert(H.find(OTHERWISE)), H.mapped))
  end
  H.mapped = nil
end

-- Global mappings only: one that belongs to a buffer comes before ours anyway.
function H.find(key)
  local raw = vim.keycode(key)
  for _, mapping in ipairs(vim.api.nvim_get_keymap("i")) do
    if mapping.lhsraw == raw or mapping.lhsrawalt == raw then
      return mapping
    end
  end
end

function H.renamed(mapping, key)
  return vim.tbl_extend("force", mapping, { lhs = key, lhsraw = vim.keycode(key), lhsrawalt = "" })
end

return M
