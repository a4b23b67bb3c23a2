/**
 * What became of a suggestion: taken in part, typed along, or turned down; and what of it is sure.
 *
 * VS Code tells an extension when a whole item was accepted (by the item's command) and
 * nothing else, so the rest is read from the changes of the document. Pure.
 * Must not know VS Code or the server.
 */

export interface Shown {
  id: string;
  uri: string;
  /** Offset of the cursor, and what is suggested there: one text for each candidate. */
  offset: number;
  texts: string[];
  /** What was put in of it: VS Code may put it in again, with more. */
  taken: string;
}

export interface Change {
  offset: number;
  removed: number;
  text: string;
}

export type Fate =
  | { kind: "kept"; shown: Shown }
  | { kind: "part"; shown: Shown; put: string }
  | { kind: "rejected" };

export function afterChanges(shown: Shown, changes: Change[]): Fate {
  const change = changes[0];
  if (changes.length !== 1 || !change) return { kind: "rejected" };
  // An editor may close the bracket that it types; what follows the cursor is no matter here.
  const again = change.removed === shown.taken.length && change.text.startsWith(shown.taken);
  const along = change.offset === shown.offset - change.removed && (change.removed === 0 || again);
  const put = change.text.slice(change.removed);
  const typed = plain(put);
  const going = shown.texts.map(plain).filter((text) => text.startsWith(typed));
  if (!along || typed === "" || going.length === 0) return { kind: "rejected" };
  const texts = going.map((text) => text.slice(typed.length));
  const rest = { ...shown, offset: shown.offset + put.length, texts, taken: shown.taken + put };
  // One key gives one character, of one or two units; an accepted word or line comes at once.
  return [...typed].length > 1 ? { kind: "part", shown: rest, put: typed } : { kind: "kept", shown: rest };
}

/**
 * How much of what is drawn may be taken as sure. Nobody tells which of several candidates is
 * drawn, so of several it is what they have in common.
 */
export function surePart(candidates: { text: string; confident: number }[]): number {
  const [first, ...others] = candidates;
  if (!first) return 0;
  let length = Math.min(first.confident, first.text.length);
  for (const { text } of others) {
    while (!text.startsWith(first.text.slice(0, length))) length -= 1;
  }
  const cut = /[\ud800-\udbff]$/.test(first.text.slice(0, length)) ? 1 : 0; // no half of a character
  return length - cut;
}

function plain(text: string): string {
  return text.replaceAll("\r\n", "\n");
}
