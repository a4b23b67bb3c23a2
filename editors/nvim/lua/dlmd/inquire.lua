--- What a person may ask about a suggestion: why there is none, and what was sent.
---
--- Answers come from the language server; here they are only shown.

local client = require("dlmd.client")
local say = require("dlmd.say")

local M = {}
local H = {}

--- Why nothing was suggested here, in one sentence.
function M.why_not()
  local buffer = vim.api.nvim_get_current_buf()
  if not client.of(buffer) then
    return say.tell(require("dlmd.status").line())
  end
  H.ask(buffer, "dlmd.whyNot", client.position(buffer).position, function(answer)
    say.tell(H.text(answer.message) or "nothing stands in the way of a suggestion here")
  end)
end

--- The newest request, as it was sent, in a window of its own.
function M.what_was_sent()
  local buffer = vim.api.nvim_get_current_buf()
  if not client.of(buffer) then
    return say.tell(require("dlmd.status").line())
  end
  H.ask(buffer, "dlmd.whatWasSent", nil, function(answer)
    if not H.text(answer.text) then
      return say.tell("nothing was sent for this file yet")
    end
    H.show(answer)
  end)
end

function H.ask(buffer, command, position, show)
  local argument = { uri = vim.uri_from_bufnr(buffer), position = position }
  client.execute(buffer, { command = command, arguments = { argument } }, function(err, answer)
    if err then
      say.warn(err.message)
    else
      show(type(answer) == "table" and answer or {})
    end
  end)
end

function H.show(answer)
  local lines = vim.split(answer.text, "\r?\n")
  vim.cmd("botright new")
  vim.api.nvim_buf_set_lines(0, 0, -1, false, lines)
  local set = { buftype = "nofile", bufhidden = "wipe", swapfile = false, modifiable = false }
  for name, value in pairs(set) do
    vim.bo[name] = value
  end
  vim.api.nvim_buf_set_name(0, ("dlmd://sent/%d"):format(vim.api.nvim_get_current_buf()))
  vim.keymap.set("n", "q", "<Cmd>close<CR>", { buffer = 0, desc = "Close" })
end

function H.text(value)
  return type(value) == "string" and value ~= "" and value or nil
end

return M
