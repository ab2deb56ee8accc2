import { html, LitElement } from "lit";
import { live } from "lit/directives/live.js";
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

/**
 * option is one of a select that shows the state. Once somebody chose, the attribute `selected`
 * moves nothing any more: without the live property a select would go on showing what was
 * chosen last, whatever is filtered.
 */
export const option = (value: string | number, selected: boolean, shown: unknown = value) =>
  html`<option value=${value} .selected=${live(selected)}>${shown}</option>`;

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
