;;; completes.el --- Eglot with dlmd as its server, in batch; what docs/emacs.md says is loaded before.
;; Arguments: a file, the text before point, what to type there, what has to be offered, and
;; perhaps the text in a function whose body is to be written, and what that body holds.
(require 'cl-lib)
(setq eglot-sync-connect 30
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
    (list (all-completions (buffer-substring (nth 0 found) (nth 1 found)) table)
          (nth 0 found) (plist-get (nthcdr 3 found) :exit-function))))

(defun complete (expected)
  "Take what is offered at point, as `completion-at-point' does."
  (cl-destructuring-bind (choices start taken)
      (until "a completion" (lambda () (let ((now (offered))) (and (car now) now))))
    (let ((choice (cl-find expected choices :test #'string-search)))
      (unless choice (error "%S is not among %S" expected choices))
      (delete-region start (point))
      (insert choice)
      (funcall taken choice 'finished))))

(defun write-body (title)
  "A command that writes, as a code action."
  (let* ((actions (append (eglot-code-actions (point) (point)) nil))
         (action (cl-find title actions :test #'string-search
                          :key (lambda (one) (plist-get one :title))))
         (command (plist-get action :command)))
    (unless action (error "no action among %S" actions))
    (eglot-execute-command (eglot-current-server)
                           (plist-get command :command) (plist-get command :arguments))))

(cl-destructuring-bind (file before typed expected &optional function body) command-line-args-left
  (setq command-line-args-left nil)
  (find-file file)
  (apply #'eglot (eglot--guess-contact))
  (until "the server" #'eglot-current-server)
  (search-forward before)
  (insert typed)
  (complete expected)
  (save-buffer)
  (when function
    (goto-char (point-min))
    (search-forward function)
    (write-body "write the body")
    (until "the body" (lambda () (save-excursion (goto-char (point-min)) (search-forward body nil t))))
    (save-buffer))
  (eglot-shutdown (eglot-current-server))
  (princ "all held\n"))
