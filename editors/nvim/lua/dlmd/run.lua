--- The commands that a person gives: a function, several holes, a selection, a
--- repair; drawn while they denoise.
---
--- The server replaces the text itself, in one edit; here is only what is seen
--- meanwhile, and the keys that end it. A person asked for this, so failures
--- are said, in one message.

local client = require("dlmd.client")
local columns = require("dlmd.columns")
local ghost = require("dlmd.ghost")
local say = require("dlmd.say")
local settle = require("dlmd.settle")

local M = {}
local H = { run = nil, last = nil }

--- Run a command of the server on the current buffer.
---@param command string
---@param describe fun(buffer: integer): table its argument, but for uri and version
function M.start(command, describe)
  M.cancel()
  local buffer = vim.api.nvim_get_current_buf()
  if not client.attach(buffer, true) then
    return say.warn(require("dlmd.status").line())
  end
  local argument = describe(buffer)
  -- What is typed now would be one step of undo with what the command writes.
  vim.cmd.stopinsert()
  vim.cmd.normal({ vim.keycode("<Esc>"), bang = true })
  H.begin(buffer, "dlmd: waiting for the language server", function(run)
    argument.uri = vim.uri_from_bufnr(buffer)
    H.ask(run, command, argument)
  end)
end

--- The running or last command once more, at another length; of a suggestion,
--- another one.
---@param command "dlmd.longer"|"dlmd.shorter"
function M.again(command)
  local buffer = vim.api.nvim_get_current_buf()
  if not client.of(buffer) then
    return say.warn(require("dlmd.status").line())
  end
  local argument = { uri = vim.uri_from_bufnr(buffer) }
  if vim.api.nvim_get_mode().mode:sub(1, 1) == "i" then
    return client.execute(buffer, { command = command, arguments = { argument } }, function(_, result)
      if type(result) == "table" and result.ask then
        local suggest = require("dlmd.suggest")
        suggest.ask(suggest.INVOKED)
      end
    end)
  end
  if H.run and H.run.buffer == buffer then
    -- The command itself goes on, and answers in the end.
    return client.execute(buffer, { command = command, arguments = { argument } })
  end
  H.begin(buffer, "dlmd: once more", function(run)
    H.ask(run, command, argument)
  end)
end

--- Is there something to write at another length?
function M.can_run_again()
  local buffer = vim.api.nvim_get_current_buf()
  local last = H.run or H.last
  local unchanged = last and last.buffer == buffer and last.tick == vim.api.nvim_buf_get_changedtick(buffer)
  return unchanged or require("dlmd.suggest").visible()
end

--- End the command and put in what has settled.
function M.keep()
  local run = H.run
  if run then
    client.execute(run.buffer, {
      command = "dlmd.stopAndKeep",
      arguments = { { uri = vim.uri_from_bufnr(run.buffer) } },
    })
  end
end

--- End the command; the text stays as it is.
function M.cancel()
  local run = H.run
  if run then
    H.finish(run)
    if run.cancel then
      run.cancel()
    end
  end
end

--- The language server ended in the middle of it.
function M.lost(reason)
  if H.run then
    M.cancel()
    say.warn(reason)
  end
end

--- Its buffer goes.
function M.unloaded(buffer)
  if H.run and H.run.buffer == buffer then
    M.cancel()
  end
end

--- Is a command under way?
function M.running()
  return H.run ~= nil
end

--- How far it is, such as "3/8"; empty when nothing runs.
function M.progressed()
  return H.run and H.run.step or ""
end

--- Text that was typed meanwhile wins over what was asked for.
function M.cancel_if_changed()
  if H.run and vim.api.nvim_buf_is_valid(H.run.buffer) and vim.api.nvim_buf_get_changedtick(H.run.buffer) ~= H.run.tick then
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
    -- The end of the one before this may come late.
    if run.state and run.state.id == state.id then
      run.state = nil
      ghost.clear(run.buffer)
    end
    return
  end
  run.state, run.step = state, ("%d/%d"):format(state.step, state.of)
  H.draw(run)
end

--- Draw the newest state anew, as when the heat map was switched.
function M.redraw()
  if H.run and H.run.state then
    H.draw(H.run)
  end
end

--- Progress of the server (`$/progress`), for the time before the first state.
function M.progress(params)
  local value = params.value
  if H.run and not H.run.state and value.kind ~= "end" then
    local words = vim.tbl_filter(function(word)
      return type(word) == "string" and word ~= ""
    end, { value.title, value.message })
    H.wait(H.run, "dlmd: " .. table.concat(words, ", "):gsub("^dlmd: ", ""))
  end
end

function H.begin(buffer, note, ask)
  local run = {
    buffer = buffer,
    place = vim.api.nvim_win_get_cursor(0),
    tick = vim.api.nvim_buf_get_changedtick(buffer),
    step = "",
  }
  H.run = run
  H.wait(run, note)
  client.when_ready(buffer, function()
    if H.run == run then
      ask(run)
    end
  end)
end

function H.ask(run, command, argument)
  -- The form that older servers know.
  local arguments = command == "dlmd.completeFunction" and { argument.uri, argument.position } or { argument }
  run.cancel = client.execute(run.buffer, { command = command, arguments = arguments }, function(err, result)
    if H.run ~= run then
      return
    end
    result = type(result) == "table" and result or {}
    H.finish(run)
    local applied = result.applied or (result.again and not result.ask)
    H.last = applied and run or nil
    local nothing = result.ask and "nothing was written here that could be longer or shorter"
    local reason = err and err.message or (not applied and (result.reason or nothing))
    if reason and reason ~= "cancelled" then
      client.note(reason)
      say.warn(reason)
    end
  end)
end

function H.draw(run)
  local state, heat = run.state, require("dlmd").config.heat
  local holes, encoding = {}, client.encoding(run.buffer)
  for number, pieces in ipairs(state.holes) do
    local range = (state.ranges or { state.range })[number]
    if range then
      table.insert(holes, {
        range = columns.range(run.buffer, range, encoding),
        chunks = settle.chunks(pieces, {
          settled = "DlmdSettled",
          fresh = (state.fresh or {})[number],
          confidence = (state.confidence or {})[number],
          heat = heat,
        }),
      })
    end
  end
  ghost.draw(run.buffer, holes, ("dlmd: step %d of %d"):format(state.step, state.of))
end

function H.wait(run, note)
  local row = math.min(run.place[1], vim.api.nvim_buf_line_count(run.buffer)) - 1
  ghost.draw(run.buffer, { { range = { row, 0, row, 0 }, chunks = {} } }, note)
end

function H.finish(run)
  H.run = nil
  ghost.clear(run.buffer)
end

return M
