--- `:DlmdStatus`: how things stand at the cursor, in one sentence.
---
--- From what is known already; asks nobody and waits for nothing.

local client = require("dlmd.client")

local M = {}
local H = {}

---@return string
function M.line()
  local config = require("dlmd").config
  local buffer = vim.api.nvim_get_current_buf()
  local report = client.report()
  if not config then
    return 'dlmd is not set up; call require("dlmd").setup({})'
  elseif vim.fn.executable(config.cmd[1]) == 0 then
    return ("no program `%s` on PATH; install it with: %s"):format(config.cmd[1], client.install)
  elseif report.given_up then
    return ("the language server failed too often: %s; see %s"):format(report.problem, require("vim.lsp.log").get_filename())
  elseif not client.of(buffer) then
    return H.why_not(buffer, config)
  end
  local line = "language server running, " .. H.daemon(report.daemon)
  return report.problem and ("%s; last problem: %s"):format(line, report.problem) or line
end

function H.why_not(buffer, config)
  local filetype = vim.bo[buffer].filetype
  if vim.bo[buffer].buftype ~= "" or vim.api.nvim_buf_get_name(buffer) == "" then
    return "not active here: this buffer is not a file"
  elseif filetype == "" then
    return "not active here: the file has no filetype; set one with :setfiletype"
  elseif #config.filetypes > 0 and not vim.list_contains(config.filetypes, filetype) then
    return ("not active here: filetype `%s` is not among `filetypes` in setup()"):format(filetype)
  end
  return "the language server is starting"
end

function H.daemon(status)
  if not status then
    return "daemon not asked yet"
  end
  local words = { "daemon " .. status.phase }
  for _, key in ipairs({ "model", "device", "detail", "fix" }) do
    if type(status[key]) == "string" and status[key] ~= "" then
      table.insert(words, status[key])
    end
  end
  return table.concat(words, ", ")
end

return M
