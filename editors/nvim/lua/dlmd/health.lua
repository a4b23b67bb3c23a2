--- `:checkhealth dlmd`: what Neovim's side needs, then what `dlmd doctor` finds.
---
--- The one place that may run programs and wait for them.

local client = require("dlmd.client")

local M = {}
local H = {}

local DOCTOR_MS = 60000

function M.check()
  vim.health.start("dlmd: Neovim")
  if vim.fn.has("nvim-0.10") == 0 then
    return vim.health.error("Neovim is older than 0.10")
  end
  vim.health.ok("Neovim " .. tostring(vim.version()))
  local config = require("dlmd").config
  if not config then
    return vim.health.error("dlmd is not set up", { 'Call require("dlmd").setup({}) in your init.lua' })
  end
  H.settings(config)
  if H.program(config.cmd[1]) then
    H.server()
    H.doctor(config.cmd)
  end
end

function H.settings(config)
  for _, complaint in ipairs(require("dlmd").complaints) do
    vim.health.error("setup(): " .. complaint, { "The default is used in its place; see :help dlmd-setup" })
  end
  if vim.tbl_isempty(config.keys) then
    vim.health.warn("no key takes a suggestion", { 'Name one: setup({ keys = { accept = "<Tab>" } }), see :help dlmd-keys' })
  end
  for _, taken in ipairs(require("dlmd.keys").taken()) do
    vim.health.warn(("`%s`, your key for `%s`, was mapped again after setup()"):format(taken.key, taken.name), {
      "Call setup() after the plugin that maps it, or see :help dlmd-expr",
    })
  end
  if vim.lsp.inline_completion then
    local how = { [true] = "by vim.lsp.inline_completion", [false] = "by the plugin" }
    vim.health.info("suggestions are drawn " .. (how[config.native] or "by vim.lsp.inline_completion where it is enabled, else by the plugin"))
  end
end

function H.program(program)
  if vim.fn.executable(program) == 0 then
    vim.health.error(("no program `%s` on PATH"):format(program), { "in a clone of dlmd type: " .. client.install })
    return false
  end
  vim.health.ok(("program %s"):format(vim.fn.exepath(program)))
  return true
end

function H.server()
  local report = client.report()
  if #vim.lsp.get_clients({ name = "dlmd" }) > 0 then
    vim.health.ok("language server running")
  elseif report.given_up then
    vim.health.error("the language server failed too often", { "See " .. require("vim.lsp.log").get_filename() })
  else
    vim.health.info("language server not running; it starts with the first file")
  end
  if report.problem then
    vim.health.warn("last problem: " .. report.problem)
  end
end

function H.doctor(cmd)
  vim.health.start("dlmd: doctor")
  local words = vim.list_slice(cmd, 1, #cmd - (cmd[#cmd] == "lsp" and 1 or 0))
  vim.list_extend(words, { "doctor", "--json" })
  local ran = vim.system(words, { text = true, timeout = DOCTOR_MS }):wait()
  local read, found = pcall(vim.json.decode, ran.stdout or "")
  if not read or type(found) ~= "table" or type(found.findings) ~= "table" then
    local said = vim.trim(ran.stderr or "")
    return vim.health.error(("`%s` failed: %s"):format(table.concat(words, " "), said ~= "" and said or "no answer"))
  end
  local grades = { ok = vim.health.ok, warning = vim.health.warn, fault = vim.health.error }
  for _, finding in ipairs(found.findings) do
    local tell = grades[finding.grade] or vim.health.info
    local text = ("%s: %s"):format(finding.name, finding.seen)
    if type(finding.fix) == "string" and finding.fix ~= "" then
      tell(text, { finding.fix })
    else
      tell(text)
    end
  end
end

return M
