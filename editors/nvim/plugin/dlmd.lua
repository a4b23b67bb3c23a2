-- The commands; everything else loads with require("dlmd").setup().
if vim.g.loaded_dlmd then
  return
end
vim.g.loaded_dlmd = true

local function command(name, description, call, options)
  vim.api.nvim_create_user_command(name, function(given)
    local dlmd = require("dlmd")
    if not dlmd.config then
      dlmd.setup({})
    end
    call(dlmd, given)
  end, vim.tbl_extend("force", { desc = description }, options or {}))
end

local function plain(name, description, method)
  command(name, description, function(dlmd)
    dlmd[method]()
  end)
end

local function on_lines(name, description, method)
  command(name, description, function(dlmd, given)
    dlmd[method](given.range > 0 and { given.line1, given.line2 } or nil)
  end, { range = true })
end

plain("DlmdComplete", "Write the body of the function at the cursor", "complete")
on_lines("DlmdFill", "Write each ... and TODO of the function, or of lines", "fill")
on_lines("DlmdRepair", "Write anew what is doubtful near the diagnostics here", "repair")
command("DlmdRewrite", "Write the selection anew", function(dlmd, given)
  dlmd.rewrite(given.range > 0 and require("dlmd.selection").of_command(given.line1, given.line2) or nil)
end, { range = true })
plain("DlmdLonger", "The running or last command once more, longer", "longer")
plain("DlmdShorter", "The running or last command once more, shorter", "shorter")
plain("DlmdStop", "End the command and keep what has settled", "stop")
plain("DlmdCancel", "End the command; the text stays as it is", "cancel")
plain("DlmdHeat", "Colour what denoises by how sure the model is, or not", "heat")
plain("DlmdToggle", "Suggest while typing, or not", "toggle")
plain("DlmdWhy", "Say why there is no suggestion here", "why_not")
plain("DlmdSent", "Show what was sent to the model last", "what_was_sent")
plain("DlmdStatus", "Say how dlmd stands, in one line", "status")
