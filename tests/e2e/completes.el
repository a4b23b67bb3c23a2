;;; completes.el --- Eglot with dlmd as its server, in batch; what docs/emacs.md says.
;; Arguments: a file, what to type at its marker, and what has to be offered.
(require 'package)
(package-initialize)
(require 'eglot)
(require 'cl-lib)

(add-to-list 'eglot-server-programs '(python-mode . ("dlmd" "lsp")))
(setq eglot-confirm-server-initiated-edits nil
      eglot-sync-connect 30
      make-backup-files nil
      create-lockfiles nil)

(defun until (what test)
  "Let processes talk until TEST gives something."
  (let ((end (+ (float-time) 60)) found)
    (while (not (setq found (funcall test)))
      (when (> (float-time) end) (error "waited in vain for %s" what))
      (accept-process-output nil 0.05))
    found))

(defun offered ()
  "The completions at point, with what they need to be put in."
  (let* ((found (eglot-completion-at-point)) (table (nth 2 found)))
    (cons (all-completions "" table) (plist-get (nthcdr 3 found) :exit-function))))

(cl-destructuring-bind (file typed expected) command-line-args-left
  (setq command-line-args-left nil)
  (find-file file)
  (apply #'eglot (eglot--guess-contact))
  (until "the server" #'eglot-current-server)
  (search-forward "# here\n")
  (insert typed)
  (let* ((found (until "a completion" (lambda () (let ((now (offered))) (and (car now) now)))))
         (choice (cl-find expected (car found) :test #'string-search)))
    (unless choice (error "%S is not among %S" expected (car found)))
    (insert choice)
    (funcall (cdr found) choice 'finished))
  (save-buffer)
  ;; A command that writes, as a code action.
  (search-forward "pass")
  (let* ((actions (append (eglot-code-actions (point) (point)) nil))
         (action (cl-find "write the body" actions :test #'string-search
                          :key (lambda (one) (plist-get one :title))))
         (command (plist-get action :command)))
    (unless action (error "no action among %S" actions))
    (eglot-execute-command (eglot-current-server)
                           (plist-get command :command) (plist-get command :arguments)))
  (until "the body" (lambda () (save-excursion (goto-char (point-min)) (search-forward "total" nil t))))
  (save-buffer)
  (eglot-shutdown (eglot-current-server))
  (princ "all held\n"))
