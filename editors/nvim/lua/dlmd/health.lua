--- `:checkhealth dlmd`: is everything there that a suggestion needs?
---
--- The one place that may run programs and wait for them.

local client = require("dlmd.client")

local M = {}
local H = {}

function M.check()
  vim.health.start("dlmd")
  local config = require("dlmd").config
  if vim.fn.has("nvim-0.10") == 1 then
    vim.health.ok("Neovim " .. tostring(vim.version()))
  else
    vim.health.error("Neovim is older than 0.10")
  end
  if not config then
    return vim.health.error("dlmd is not set up", { 'Call require("dlmd").setup({}) in your init.lua' })
  end
  H.program(config.cmd[1])
  local count = #vim.lsp.get_clients({ name = "dlmd" })
  if count > 0 then
    vim.health.ok("language server running")
  else
    vim.health.info("language server not running; it starts with the first file")
  end
  local problem = client.report().problem
  if problem then
    vim.health.warn("last problem: " .. problem)
  end
end

function H.program(program)
  if vim.fn.executable(program) == 0 then
    return vim.health.error(("no program `%s` on PATH"):format(program), { client.install })
  end
  vim.health.ok(("program %s"):format(vim.fn.exepath(program)))
  local version = vim.system({ program, "--version" }, { text = true, timeout = 10000 }):wait()
  if version.code == 0 then
    vim.health.ok(vim.trim(version.stdout))
  else
    vim.health.warn(("`%s --version` failed: %s"):format(program, vim.trim(version.stderr or "")))
  end
end

return M
