-- The commands; everything else loads with require("dlmd").setup().
if vim.g.loaded_dlmd then
  return
end
vim.g.loaded_dlmd = true

local function command(name, method, description)
  vim.api.nvim_create_user_command(name, function()
    local dlmd = require("dlmd")
    if not dlmd.config then
      dlmd.setup({})
    end
    dlmd[method]()
  end, { desc = description })
end

command("DlmdComplete", "complete", "Fill the body of the function at the cursor")
command("DlmdCancel", "cancel", "Stop filling")
command("DlmdStatus", "status", "Say how dlmd stands, in one line")
