--- The colours of a denoising state: what is masked, settled, and settled just now.
---
--- A state's pieces are settled texts and numbers of masked tokens, each with
--- how sure the model is of it and whether it settled in this very step. Pure
--- functions; knows neither buffers nor requests.

local M = {}

local MASK = "░"

---@param pieces (string|integer)[]
---@param options { settled: string, fresh?: boolean[], confidence?: number[], heat?: boolean }
---@return string[][] chunks of text and highlight group
function M.chunks(pieces, options)
  local chunks = {}
  for number, piece in ipairs(pieces) do
    local fresh = (options.fresh or {})[number]
    if type(piece) == "number" then
      table.insert(chunks, { MASK:rep(piece), "DlmdMask" })
    elseif options.heat then
      table.insert(chunks, { piece, M.heat((options.confidence or {})[number]) })
    else
      table.insert(chunks, { piece, fresh and fresh ~= 0 and "DlmdFresh" or options.settled })
    end
  end
  return chunks
end

--- The group for a confidence from 0 to 1.
function M.heat(confidence)
  return "DlmdHeat" .. math.min(5, 1 + math.floor((confidence or 1) * 5))
end

return M
