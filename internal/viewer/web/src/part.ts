import { LitElement } from "lit";
import type { Viewer } from "./app.js";
import type { Entry } from "./entry.js";
import type { Preferences } from "./preferences.js";
import type { State } from "./state.js";

/**
 * A part of the page, rendered into the page itself and not into a shadow: labels, ids and
 * the style sheet reach everywhere. It shows `state` and `preferences`, and changes them by
 * `app` alone.
 */
export abstract class Part extends LitElement {
  static override properties = { app: { attribute: false }, state: { attribute: false }, preferences: { attribute: false } };

  declare app: Viewer;
  declare state: State;
  declare preferences: Preferences;

  protected override createRenderRoot(): HTMLElement {
    return this;
  }
}

/** What of an entry is a value that one can filter by. */
export const fieldValues = (entry: Entry) =>
  ({ action: entry.action, resource_type: entry.resourceType, resource_id: entry.resourceId, user_id: entry.userId }) as const;

/** count is a number for people: 12,345. */
export const count = (of: number): string => of.toLocaleString("en");

/** save hands a file to the person. */
export function save(name: string, parts: BlobPart[], type: string): void {
  const address = URL.createObjectURL(new Blob(parts, { type }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
