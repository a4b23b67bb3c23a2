--- Keys: what dlmd has when there is something for it to act on, else what they were.
---
--- Knows mappings. Knows nothing of suggestions: an action says itself whether
--- there is something to act on.

local M = {}
local H = { mapped = {} }

--- Map the keys of the settings, and give earlier ones back.
---@param keys table<string, string|false> action -> key
---@param actions table<string, { ready: (fun(): boolean), run: string }>
---@param modes table<string, string|string[]> action -> its modes
function M.map(keys, actions, modes)
  H.give_back()
  for name, action in pairs(actions) do
    for _, mode in ipairs(H.list(modes[name])) do
      -- <C-g>u on both sides: taking a suggestion is one step of undo, and what
      -- was typed before and after it are others.
      local undo = mode == "i" and vim.startswith(name, "accept") and "<C-g>u" or ""
      vim.keymap.set(mode, H.plug(name), undo .. "<Cmd>" .. action.run .. "<CR>" .. undo)
      if keys[name] then
        H.map(mode, keys[name], name, action.ready)
      end
    end
  end
end

--- The keys that somebody else has mapped since.
---@return { name: string, key: string }[]
function M.taken()
  return vim
    .iter(H.mapped)
    :filter(function(one)
      return not H.is_ours(one)
    end)
    :totable()
end

--- The keys an expression mapping should return.
---@param name string an action
---@param ready boolean is there something to act on?
---@param otherwise string
function M.either(name, ready, otherwise)
  return ready and H.plug(name) or otherwise
end

function H.map(mode, key, name, ready)
  local otherwise = "<Plug>(dlmd-not-" .. name:gsub("_", "-") .. ")"
  local had = H.keep(mode, key, otherwise)
  vim.keymap.set(mode, key, function()
    return M.either(name, ready(), otherwise)
  end, { expr = true, remap = true, desc = "dlmd: " .. name:gsub("_", " ") })
  table.insert(H.mapped, { mode = mode, key = key, name = name, otherwise = otherwise, had = had })
end

-- What the key did before lives on under a name of ours, with all its attributes.
function H.keep(mode, key, otherwise)
  local mapping = H.find(mode, key)
  if mapping then
    vim.fn.mapset(mode, false, H.renamed(mapping, otherwise))
  else
    vim.keymap.set(mode, otherwise, key)
  end
  return mapping ~= nil
end

-- The newest first: of two actions on one key, the later fell through to the earlier.
-- What somebody else has mapped since stays theirs.
function H.give_back()
  for _, one in ipairs(vim.iter(H.mapped):rev():totable()) do
    if H.is_ours(one) then
      vim.keymap.del(one.mode, one.key)
      if one.had then
        vim.fn.mapset(one.mode, false, H.renamed(assert(H.find(one.mode, one.otherwise)), one.key))
      end
    end
  end
  H.mapped = {}
end

function H.is_ours(one)
  local mapping = H.find(one.mode, one.key)
  return mapping ~= nil and vim.startswith(mapping.desc or "", "dlmd: ")
end

-- Global mappings only: one that belongs to a buffer comes before ours anyway.
function H.find(mode, key)
  local raw = vim.keycode(key)
  for _, mapping in ipairs(vim.api.nvim_get_keymap(mode)) do
    if mapping.lhsraw == raw or mapping.lhsrawalt == raw then
      return mapping
    end
  end
end

function H.renamed(mapping, key)
  return vim.tbl_extend("force", mapping, { lhs = key, lhsraw = vim.keycode(key), lhsrawalt = "" })
end

function H.plug(name)
  return "<Plug>(dlmd-" .. name:gsub("_", "-") .. ")"
end

function H.list(value)
  return type(value) == "table" and value or { value }
end

return M
