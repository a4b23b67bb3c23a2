/**
 * What became of a suggestion: taken in part, typed along, or turned down.
 *
 * VS Code tells an extension when a whole item was accepted (by the item's command) and
 * nothing else, so the rest is read from the changes of the document. Pure.
 * Must not know VS Code or the server.
 */

export interface Shown {
  id: string;
  uri: string;
  /** Offset of the cursor, and what is suggested there. */
  offset: number;
  text: string;
}

export interface Change {
  offset: number;
  removed: number;
  text: string;
}

export type Fate =
  | { kind: "kept"; shown: Shown }
  | { kind: "part"; shown: Shown; characters: number }
  | { kind: "rejected" };

export function afterChanges(shown: Shown, changes: Change[]): Fate {
  const change = changes[0];
  if (changes.length !== 1 || !change) return { kind: "rejected" };
  // An editor may close the bracket that it types; what follows the cursor is no matter here.
  const along = change.offset === shown.offset && change.removed === 0;
  const typed = plain(change.text);
  const text = plain(shown.text);
  if (!along || typed === "" || !text.startsWith(typed)) return { kind: "rejected" };
  const rest = { ...shown, offset: shown.offset + change.text.length, text: text.slice(typed.length) };
  // One key gives one character; an accepted word or line comes at once.
  return typed.length > 1 ? { kind: "part", shown: rest, characters: typed.length } : { kind: "kept", shown: rest };
}

function plain(text: string): string {
  return text.replaceAll("\r\n", "\n");
}
