--- What `setup()` takes, and the check of every key of it.
---
--- A wrong key or value is one sentence and costs only itself: the default is
--- used in its place, so that a typing mistake breaks neither the plugin nor
--- the rest of an init.lua. Knows names, types and defaults. Knows nothing of
--- what the settings do.

local M = {}
local H = {}

--- What can be mapped, each with the mode it is for.
M.modes = {
  accept = "i",
  accept_word = "i",
  accept_line = "i",
  accept_confident = "i",
  next = "i",
  previous = "i",
  show = "i",
  dismiss = "i",
  longer = { "n", "i" },
  shorter = { "n", "i" },
  stop = "n",
  cancel = "n",
}

M.defaults = {
  -- The language server. The first word is looked up on PATH.
  cmd = { "dlmd", "lsp" },
  -- Filetypes to work in; empty means every ordinary file that has a filetype.
  filetypes = {},
  -- When to suggest: "automatic" while typing, "manual" only when asked,
  -- "subtle" ready while typing and shown on a key.
  trigger = "automatic",
  -- Draw suggestions while they denoise, not only when they are done.
  live = false,
  -- Colour what denoises by how sure the model is.
  heat = false,
  -- Who draws suggestions: this plugin, or Neovim's own vim.lsp.inline_completion
  -- (0.12). "auto": Neovim's own in the buffers where it is enabled.
  native = "auto",
  -- Let the language server start the daemon when none runs.
  start_daemon = true,
  -- Keys; none is mapped that is not named here. A key that has nothing to act
  -- on does what it did before.
  keys = {},
  -- Settings of the language server, by its own names: see docs/editors.md.
  server = {},
}

local function one_of(...)
  local names = { ... }
  return function(value)
    return vim.list_contains(names, value), "one of " .. table.concat(vim.tbl_map(vim.inspect, names), ", ")
  end
end

local function boolean(value)
  return type(value) == "boolean", "true or false"
end

local function number(least, most, whole)
  local words = ("a %s from %s to %s"):format(whole and "whole number" or "number", least, most)
  return function(value)
    local ok = type(value) == "number" and value >= least and value <= most
    return ok and (not whole or value == math.floor(value)), words
  end
end

local function strings(example, least)
  return function(value)
    local ok = type(value) == "table" and vim.islist(value) and #value >= (least or 0)
    return ok and vim.iter(value):all(function(item)
      return type(item) == "string" and item ~= ""
    end), "a list of strings such as " .. example
  end
end

local checks = {
  cmd = strings('{ "dlmd", "lsp" }', 1),
  filetypes = strings('{ "python", "go" }'),
  trigger = one_of("automatic", "manual", "subtle"),
  live = boolean,
  heat = boolean,
  native = one_of("auto", true, false),
  start_daemon = boolean,
}

local server_checks = {
  debounceMs = function(value)
    return value == "adaptive" or number(0, 10000)(value), '"adaptive" or a number from 0 to 10000'
  end,
  candidates = number(1, 3, true),
  threshold = number(0, 1),
  inComments = boolean,
  inStrings = boolean,
  disabledLanguages = strings('{ "markdown" }'),
  otherFiles = boolean,
  statistics = boolean,
  mode = one_of("exact", "quality", "fast"),
  lineTokens = number(1, 1024, true),
  blockTokens = number(1, 1024, true),
  functionTokens = number(1, 1024, true),
  connect = function(value)
    return type(value) == "string" and value ~= "", 'a place such as "ssh://host"'
  end,
  daemonCommand = strings('{ "dlmd", "serve" }', 1),
}

local function key(value)
  return value == false or (type(value) == "string" and value ~= ""), 'a key such as "<Tab>", or false'
end

--- The user's settings over the defaults, and one sentence for each that is wrong.
---@param given any
---@return table config
---@return string[] complaints
function M.merge(given)
  local config, complaints = vim.deepcopy(M.defaults), {}
  if given ~= nil and type(given) ~= "table" then
    return config, { ("setup() takes a table, not %s; the defaults are used"):format(vim.inspect(given)) }
  end
  H.take("", given or {}, config, vim.tbl_extend("force", checks, { keys = H.is_table, server = H.is_table }), complaints)
  local keys, server = config.keys, config.server
  config.keys, config.server = {}, {}
  local key_checks = vim.tbl_map(function()
    return key
  end, M.modes)
  H.take("keys.", keys, config.keys, key_checks, complaints)
  H.take("server.", server, config.server, server_checks, complaints)
  return config, complaints
end

--- What the language server is told, by its own names.
function M.for_server(config)
  return vim.tbl_extend("force", config.server, {
    trigger = config.trigger,
    liveStates = config.live,
    startDaemon = config.start_daemon,
  })
end

function H.take(prefix, given, config, known, complaints)
  for name, value in vim.spairs(H.named(given)) do
    local check = known[name]
    local ok, expected = (check or H.is_table)(value)
    if not check then
      local names = vim.tbl_keys(known)
      table.sort(names)
      table.insert(complaints, ("`%s%s` is no setting; there are %s"):format(prefix, name, table.concat(names, ", ")))
    elseif not ok then
      local shown = vim.inspect(value, { newline = " ", indent = "" })
      table.insert(complaints, ("`%s%s` should be %s, not %s"):format(prefix, name, expected, shown))
    else
      config[name] = value
    end
  end
end

-- Positions of a list among the names would not sort.
function H.named(given)
  local named = {}
  for name, value in pairs(given) do
    named[tostring(name)] = value
  end
  return named
end

function H.is_table(value)
  return type(value) == "table", "a table"
end

return M
