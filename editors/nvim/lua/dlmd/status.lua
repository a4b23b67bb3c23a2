--- How things stand: `:DlmdStatus` in a sentence, `statusline()` in a word or two.
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
    return ("no program `%s` on PATH; in a clone of dlmd type: %s"):format(config.cmd[1], client.install)
  elseif report.given_up then
    return ("the language server failed too often: %s; see %s; :DlmdComplete tries it again"):format(report.problem, require("vim.lsp.log").get_filename())
  elseif not client.of(buffer) then
    return H.why_not(buffer, config)
  end
  local line = "language server running, " .. H.daemon(report.daemon)
  return report.problem and ("%s; last problem: %s"):format(line, report.problem) or line
end

--- For 'statusline' or a status line plugin: model and device, or what is wrong.
--- Empty where dlmd is not at work.
---@return string
function M.short()
  local buffer = vim.api.nvim_get_current_buf()
  local report = client.report()
  if report.given_up and vim.bo[buffer].buftype == "" then
    return "dlmd failed"
  elseif not require("dlmd").config or not client.of(buffer) then
    return ""
  end
  local status = report.daemon
  if not status then
    return "dlmd"
  end
  local words = { "dlmd" }
  local step = require("dlmd.run").progressed()
  if status.phase == "ready" or status.phase == "busy" then
    vim.list_extend(words, { H.text(status.model), H.text(status.device), H.text(status.adapter) })
  else
    table.insert(words, status.phase .. H.percent(status))
  end
  table.insert(words, step)
  words = vim.tbl_filter(function(word)
    return word ~= ""
  end, words)
  -- A status line takes % for a format of its own.
  return (table.concat(words, " "):gsub("%%", "%%%%"))
end

function H.percent(status)
  local done, total = status.bytesDone, status.bytesTotal
  if type(done) ~= "number" or type(total) ~= "number" or total == 0 then
    return ""
  end
  return (" %d%%"):format(math.floor(100 * done / total))
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
    if H.text(status[key]) ~= "" then
      table.insert(words, status[key])
    end
  end
  return table.concat(words, ", ")
end

function H.text(value)
  return type(value) == "string" and value or ""
end

return M
