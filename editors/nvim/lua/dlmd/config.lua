--- What `setup()` takes, and the check of every key of it.
---
--- Knows names, types and defaults. Knows nothing of what the settings do.

local M = {}
local H = {}

M.defaults = {
  -- The language server. The first word is looked up on PATH.
  cmd = { "dlmd", "lsp" },
  -- Filetypes to work in; empty means every ordinary file that has a filetype.
  filetypes = {},
  -- Suggest while typing. Off: only `require("dlmd").suggest()` and `:DlmdComplete`.
  auto = true,
  -- Draw the suggestion while it denoises, not only when it is done.
  live = false,
  -- Let the language server start the daemon when none runs.
  start_daemon = true,
  -- Milliseconds without a keystroke before a suggestion is asked for.
  debounce_ms = 75,
  -- Keys in insert mode; `false` maps none. A key that has nothing to accept
  -- does what it did before.
  keys = { accept = "<Tab>" },
}

--- The user's settings over the defaults; an error names the key that is wrong.
---@param given table|nil
---@return table
function M.merge(given)
  H.expect("config", given, given == nil or type(given) == "table", "a table")
  given = given or {}
  H.only_known("", given, M.defaults)
  local config = vim.tbl_extend("force", vim.deepcopy(M.defaults), given)
  H.expect("cmd", config.cmd, H.is_strings(config.cmd) and #config.cmd > 0, "a list of strings such as { \"dlmd\", \"lsp\" }")
  H.expect("filetypes", config.filetypes, H.is_strings(config.filetypes), "a list of filetypes")
  for _, name in ipairs({ "auto", "live", "start_daemon" }) do
    H.expect(name, config[name], type(config[name]) == "boolean", "true or false")
  end
  local debounce = config.debounce_ms
  H.expect("debounce_ms", debounce, type(debounce) == "number" and debounce >= 0 and debounce <= 10000, "a number from 0 to 10000")
  H.expect("keys", config.keys, type(config.keys) == "table", "a table such as { accept = \"<Tab>\" }")
  H.only_known("keys.", config.keys, M.defaults.keys)
  config.keys = vim.tbl_extend("force", M.defaults.keys, config.keys)
  local accept = config.keys.accept
  H.expect("keys.accept", accept, accept == false or (type(accept) == "string" and accept ~= ""), "a key such as \"<Tab>\", or false")
  return config
end

function H.is_strings(value)
  return type(value) == "table"
    and vim.islist(value)
    and vim.iter(value):all(function(item)
      return type(item) == "string" and item ~= ""
    end)
end

function H.expect(name, value, ok, expected)
  if not ok then
    error(("(dlmd) `%s` should be %s, not %s"):format(name, expected, vim.inspect(value)), 0)
  end
end

function H.only_known(prefix, given, known)
  for key in pairs(given) do
    if known[key] == nil then
      local names = vim.tbl_keys(known)
      table.sort(names)
      error(("(dlmd) `%s%s` should be one of %s"):format(prefix, key, table.concat(names, ", ")), 0)
    end
  end
end

return M
