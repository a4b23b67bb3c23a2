--- `:DlmdComplete`: the body of the function at the cursor, drawn while it denoises.
---
--- The server replaces the text itself, in one edit; here is only what is seen
--- meanwhile. A person asked for this, so failures are said, in one message.

local client = require("dlmd.client")
local ghost = require("dlmd.ghost")
local say = require("dlmd.say")

local M = {}
local H = { run = nil }

--- Ask for the body of the function at the cursor.
function M.start()
  M.cancel()
  vim.cmd.stopinsert() -- what is typed now would be one step of undo with the body
  local buffer = vim.api.nvim_get_current_buf()
  if not client.attach(buffer) then
    return say.warn(require("dlmd.status").line())
  end
  local run = {
    buffer = buffer,
    place = vim.api.nvim_win_get_cursor(0),
    tick = vim.api.nvim_buf_get_changedtick(buffer),
  }
  H.run = run
  H.draw({}, "dlmd: waiting for the language server")
  client.when_ready(buffer, function()
    if H.run == run then
      H.ask(run)
    end
  end)
end

--- Stop; the text stays as it is.
function M.cancel()
  local run = H.run
  if run then
    H.finish(run)
    if run.cancel then
      run.cancel()
    end
  end
end

--- Is a body being filled?
function M.running()
  return H.run ~= nil
end

--- Text that was typed meanwhile wins over the body that was asked for.
function M.cancel_if_changed()
  if H.run and vim.api.nvim_buf_get_changedtick(H.run.buffer) ~= H.run.tick then
    M.cancel()
  end
end

--- The server's edit has come: that change is ours.
function M.applied()
  if H.run then
    ghost.clear(H.run.buffer)
    H.run.tick = vim.api.nvim_buf_get_changedtick(H.run.buffer)
  end
end

--- A denoising state (`dlmd/state`): settled text, and how much is still masked.
function M.state(state)
  local run = H.run
  if not run or vim.uri_to_bufnr(state.uri) ~= run.buffer or not client.is_current(run.buffer, state.version) then
    return
  end
  if state.done then
    ghost.clear(run.buffer)
  else
    local row = state.position.line
    local line = vim.api.nvim_buf_get_lines(run.buffer, row, row + 1, false)[1] or ""
    run.place = { row + 1, client.byte_column(run.buffer, line, state.position.character) }
    run.pieces = state.holes[1] or {}
    H.draw(run.pieces, ("dlmd: step %d of %d"):format(state.step, state.of))
  end
end

--- Progress of the server (`$/progress`), for the time before the first state.
function M.progress(params)
  local value = params.value
  if H.run and not H.run.pieces and value.kind ~= "end" then
    local words = vim.tbl_filter(function(word)
      return type(word) == "string" and word ~= ""
    end, { value.title, value.message })
    H.draw({}, "dlmd: " .. table.concat(words, ", "))
  end
end

function H.ask(run)
  local params = client.position(run.buffer)
  run.cancel = client.request(run.buffer, "workspace/executeCommand", {
    command = "dlmd.completeFunction",
    arguments = { params.textDocument.uri, params.position },
  }, function(err, result)
    if H.run ~= run then
      return
    end
    H.finish(run)
    local reason = err and err.message or (result and not result.applied and result.reason)
    if reason and reason ~= "cancelled" then
      client.note(reason)
      say.warn(reason)
    end
  end)
end

function H.draw(pieces, note)
  ghost.draw(H.run.buffer, H.run.place[1] - 1, H.run.place[2], pieces, note)
end

function H.finish(run)
  H.run = nil
  ghost.clear(run.buffer)
end

return M
