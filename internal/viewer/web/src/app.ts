import "./style.css";
import { html, LitElement, nothing, type PropertyValues } from "lit";
import { Api, claimsOf, type Claims, ProblemError } from "./api.js";
import { curlCommand } from "./commands.js";
import { sentenceOf } from "./load.js";
import { option } from "./part.js";
import { type Preferences, remember, remembered } from "./preferences.js";
import { type Field, type Filter, neither, not, only, readState, type State, tabs, type Tab, writeState } from "./state.js";
import { validZone, zoneName } from "./time.js";
import "./trail.js";
import "./tail-view.js";
import "./admin.js";
import "./entry-panel.js";

/**
 * The page: who is signed in, what is shown, and what is remembered. Parts ask it to change
 * any of these; it keeps the address in step, so that back, forward and links work.
 */
export class Viewer extends LitElement {
  static override properties = { state: { state: true }, preferences: { state: true }, api: { state: true }, refused: { state: true }, said: { state: true } };

  declare state: State;
  declare preferences: Preferences;
  declare api: Api | undefined;
  /** Why somebody who was signed in no longer is. */
  declare refused: string | undefined;
  /** What just happened, for people and for screen readers. */
  declare said: string;
  /** In memory alone: gone with the page. */
  private token = "";
  claims: Claims = { organizations: [], subject: undefined, expires: undefined };
  private menuOf: { field: Field; value: string; opener: HTMLElement } | undefined;
  private unsaying = 0;

  constructor() {
    super();
    this.state = readState(location.search);
    this.preferences = remembered();
    this.said = "";
    window.addEventListener("popstate", () => (this.state = readState(location.search)));
    window.addEventListener("keydown", this.onKey);
    this.addEventListener("token-refused", this.onRefused);
    this.addEventListener("click", this.onValue);
  }

  protected override createRenderRoot(): HTMLElement {
    return this;
  }

  // What parts call.

  /** go shows something else, and makes a step back to what was shown. */
  go(change: Partial<State>, replace = false): void {
    const state = { ...this.state, ...change };
    const address = location.pathname + writeState(state);
    if (address !== location.pathname + location.search) history[replace ? "replaceState" : "pushState"](null, "", address);
    this.state = state;
  }

  filter(filter: Filter): void {
    this.go({ filter, page: 1 });
  }

  prefer(change: Partial<Preferences>): void {
    this.preferences = { ...this.preferences, ...change };
    remember(this.preferences);
  }

  say(text: string): void {
    this.said = text;
    clearTimeout(this.unsaying);
    this.unsaying = window.setTimeout(() => (this.said = ""), 6000);
  }

  /** link is the address of what is shown, or would be after a change. */
  link(change: Partial<State> = {}): string {
    return new URL(location.pathname + writeState({ ...this.state, ...change }), location.href).href;
  }

  async copy(text: string, name: string): Promise<void> {
    try {
      await navigator.clipboard.writeText(text);
      this.say(`Copied ${name}`);
    } catch {
      // Browsers lend the clipboard to pages over HTTPS alone.
      const dialog = this.querySelector<HTMLDialogElement>("#copy-dialog")!;
      dialog.querySelector("textarea")!.value = text;
      dialog.showModal();
      dialog.querySelector("textarea")!.select();
    }
  }

  curl(path: string): string {
    return curlCommand(this.api?.baseUrl ?? "", this.api?.organization, path);
  }

  // Signing in.

  private signIn(event: SubmitEvent): void {
    event.preventDefault();
    const form = event.target as HTMLFormElement;
    const pasted = (new FormData(form).get("token") as string).trim();
    const token = /[^\s"']+$/.exec(pasted.replace(/["']$/, ""))?.[0]?.replace(/^TOKEN=/, "") ?? "";
    form.reset();
    if (!token) return;
    this.token = token;
    this.claims = claimsOf(token);
    this.refused = undefined;
    const { organizations } = this.claims;
    if (this.state.organization && organizations.length > 0 && !organizations.includes(this.state.organization)) this.go({ organization: undefined }, true);
    this.connect();
  }

  private connect(): void {
    this.api = new Api(this.token, this.state.organization);
  }

  private onRefused = (event: Event): void => {
    const error = (event as CustomEvent<Error>).detail;
    this.refused = error instanceof ProblemError ? `${sentenceOf(error.problem)} Request ${error.problem.requestId}.` : error.message;
    this.signOut(true);
  };

  private signOut(refused = false): void {
    this.token = "";
    this.api = undefined;
    if (!refused) {
      this.refused = undefined;
      this.go({ entry: undefined, page: 1 }, true);
    }
  }

  protected override willUpdate(changed: PropertyValues): void {
    if (changed.has("state") && this.token && this.api?.organization !== this.state.organization) this.connect();
  }

  protected override firstUpdated(): void {
    this.querySelector<HTMLInputElement>("#token")?.focus();
  }

  protected override updated(changed: PropertyValues): void {
    if (changed.has("preferences")) document.documentElement.dataset["theme"] = this.preferences.theme;
    document.title = this.api ? `${tabs[this.state.tab]} · oCore Audit` : "Sign in · oCore Audit";
    if (changed.has("api") && !this.api) this.querySelector<HTMLInputElement>("#token")?.focus();
  }

  // Keys.

  private onKey = (event: KeyboardEvent): void => {
    if (event.defaultPrevented || !this.preferences.shortcuts || !this.api || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const at = event.target as HTMLElement;
    if (at.closest("input, select, textarea, [contenteditable]")) return;
    const open = [...this.querySelectorAll<HTMLDialogElement>("dialog[open]")].at(-1);
    if (event.key === "?" && !open) {
      this.openHelp();
      event.preventDefault();
      return;
    }
    const scope = open ?? this.querySelector("main");
    const target = scope?.querySelector<HTMLElement>(`[data-key~="${CSS.escape(event.key)}"]`);
    if (target) {
      event.preventDefault();
      if (target.matches("input")) target.focus();
      else target.click();
      return;
    }
    if (!open) scope?.querySelector("trail-view, tail-view")?.dispatchEvent(new CustomEvent("move-key", { detail: event }));
  };

  private openHelp = (): void => this.querySelector<HTMLDialogElement>("#help")!.showModal();

  // The menu of a value: any button with data-field opens it.

  private onValue = (event: Event): void => {
    const opener = (event.target as HTMLElement).closest<HTMLElement>("button[data-field]");
    if (!opener) return;
    this.menuOf = { field: opener.dataset["field"] as Field, value: opener.dataset["value"]!, opener };
    this.requestUpdate();
    void this.updateComplete.then(() => {
      const menu = this.querySelector<HTMLElement>("#value-menu")!;
      (opener.closest("dialog") ?? this).append(menu); // above a dialog only what is within it can be used
      menu.showPopover();
      const box = opener.getBoundingClientRect();
      menu.style.setProperty("left", `${Math.max(8, Math.min(box.left, innerWidth - menu.offsetWidth - 8))}px`);
      menu.style.setProperty("top", `${box.bottom + menu.offsetHeight + 8 > innerHeight ? Math.max(8, box.top - menu.offsetHeight - 4) : box.bottom + 4}px`);
      menu.querySelector<HTMLElement>("button")!.focus();
    });
  };

  private choose(act: (filter: Filter, field: Field, value: string) => Filter): void {
    const { field, value } = this.menuOf!;
    this.closeMenu();
    this.go({ filter: act(this.state.filter, field, value), page: 1, tab: this.state.tab === "admin" ? "trail" : this.state.tab, entry: undefined });
  }

  private closeMenu(): void {
    this.querySelector<HTMLElement>("#value-menu")!.hidePopover();
    this.menuOf?.opener.focus();
  }

  private onMenuToggle(event: ToggleEvent): void {
    if (event.newState === "closed") this.append(event.target as HTMLElement); // the dialog it was in may go
  }

  private onMenuKey(event: KeyboardEvent): void {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const buttons = [...this.querySelectorAll<HTMLElement>("#value-menu button")];
    buttons.at((buttons.indexOf(document.activeElement as HTMLElement) + step) % buttons.length)?.focus();
  }

  // What is shown.

  protected override render() {
    const { state, preferences } = this;
    return html`
      <a class="skip" href="#content">Skip to the content</a>
      <header class="top">
        <span class="brand"><img src="./icon.svg" width="24" height="24" alt="" /> <span>oCore Audit</span></span>
        ${this.api ? this.navigation() : nothing}
        <div class="tools">
          ${this.settings()}
          ${this.api ? html`<button type="button" class="plain" @click=${this.openHelp}>Keys</button><button type="button" class="plain" @click=${() => this.signOut()}>Sign out</button>` : nothing}
        </div>
      </header>
      <main id="content" tabindex="-1">
        ${!this.api
          ? this.door()
          : this.claims.organizations.length > 1 && !state.organization
            ? this.whichOrganization()
            : state.tab === "trail"
              ? html`<trail-view .app=${this} .api=${this.api} .state=${state} .preferences=${preferences}></trail-view>`
              : state.tab === "tail"
                ? html`<tail-view .app=${this} .api=${this.api} .state=${state} .preferences=${preferences}></tail-view>`
                : html`<admin-view .app=${this} .api=${this.api} .state=${state} .preferences=${preferences}></admin-view>`}
      </main>
      ${this.api ? html`<entry-panel .app=${this} .api=${this.api} .state=${state} .preferences=${preferences}></entry-panel>` : nothing}
      ${this.help()} ${this.copyDialog()}
      <div id="value-menu" popover class="menu" @keydown=${this.onMenuKey} @toggle=${this.onMenuToggle} role="group" aria-label="What to do with this value">
        ${this.menuOf ? this.menu(this.menuOf) : nothing}
      </div>
      <div class="toast" role="status" ?data-said=${this.said}>${this.said}</div>
    `;
  }

  private menu({ field, value }: { field: Field; value: string }) {
    const { filter } = this.state;
    const filtered = filter.include[field] === value || filter.exclude[field]?.includes(value);
    return html`<p>${value}</p>
      <button type="button" @click=${() => this.choose(only)}>Show only this</button>
      <button type="button" @click=${() => this.choose(not)}>Leave this out</button>
      ${filtered ? html`<button type="button" @click=${() => this.choose(neither)}>Remove the filter</button>` : nothing}
      <button type="button" @click=${() => { this.closeMenu(); void this.copy(value, "the value"); }}>Copy</button>`;
  }

  private navigation() {
    const { organizations } = this.claims;
    return html`<nav aria-label="Views">
        ${(Object.keys(tabs) as Tab[]).map(
          (tab) => html`<a href=${this.link({ tab, entry: undefined })} aria-current=${this.state.tab === tab ? "page" : nothing}
            @click=${(event: MouseEvent) => this.follow(event, { tab, entry: undefined })}>${tabs[tab]}</a>`,
        )}
      </nav>
      ${organizations.length > 1 && this.state.organization
        ? html`<label class="organization"><span>Organization</span>
            <select @change=${(event: Event) => this.go({ organization: (event.target as HTMLSelectElement).value, page: 1, entry: undefined })}>
              ${organizations.map((one) => option(one, one === this.state.organization))}
            </select></label>`
        : organizations.length === 1
          ? html`<span class="organization"><span>Organization</span> <strong>${this.state.organization ?? organizations[0]}</strong></span>`
          : nothing}`;
  }

  /** follow goes by a link without loading the page anew, unless another tab or window is wanted. */
  follow(event: MouseEvent, change: Partial<State>): void {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    this.go(change);
  }

  private settings() {
    const { theme, zone, shortcuts } = this.preferences;
    const named = zone !== "local" && zone !== "UTC";
    return html`<details class="settings">
      <summary>Display</summary>
      <div>
        <label>Theme
          <select @change=${(event: Event) => this.prefer({ theme: (event.target as HTMLSelectElement).value as Preferences["theme"] })}>
            ${(["system", "light", "dark"] as const).map((one) => option(one, one === theme, { system: "As the system", light: "Light", dark: "Dark" }[one]))}
          </select></label>
        <label>Times in
          <select @change=${(event: Event) => this.prefer({ zone: (event.target as HTMLSelectElement).value === "other" ? (named ? zone : "Europe/Paris") : (event.target as HTMLSelectElement).value })}>
            ${option("local", zone === "local", `Local time (${zoneName("local")})`)}
            ${option("UTC", zone === "UTC")}
            ${option("other", named, "Another zone…")}
          </select></label>
        ${named
          ? html`<label>Zone
              <input list="zones" .value=${zone} @change=${(event: Event) => { const to = (event.target as HTMLInputElement).value; if (validZone(to)) this.prefer({ zone: to }); else this.say(`There is no time zone ${to}`); }} />
              <datalist id="zones">${Intl.supportedValuesOf("timeZone").map((one) => html`<option value=${one}></option>`)}</datalist></label>`
          : nothing}
        <label class="tick"><input type="checkbox" .checked=${shortcuts} @change=${(event: Event) => this.prefer({ shortcuts: (event.target as HTMLInputElement).checked })} /> Single-key shortcuts</label>
      </div>
    </details>`;
  }

  private door() {
    return html`<section class="door" aria-labelledby="door-title">
      <h1 id="door-title">Read the audit trail</h1>
      ${this.refused
        ? html`<div class="notice expired" role="alert"><h3>Your token is not accepted</h3><p>${this.refused}</p><p>Sign in with a new one: what you were looking at is still here.</p></div>`
        : html`<p>Who did what, when and to which resource: with what it was before and after, and the proof that nobody changed it since.</p>`}
      <form @submit=${this.signIn}>
        <label for="token">Access token</label>
        <input id="token" name="token" type="password" autocomplete="current-password" spellcheck="false" required aria-describedby="token-help" />
        <p id="token-help" class="quiet">
          Paste a token with the permission <code>view:audit_logs</code>. It stays in this page's memory: it is never stored, never part of a link, and gone when you close or reload the page.
        </p>
        <button type="submit" class="main">Sign in</button>
      </form>
    </section>`;
  }

  private whichOrganization() {
    return html`<section class="door" aria-labelledby="which-title">
      <h1 id="which-title">Whose trail?</h1>
      <p>Your token is for several organizations. Each has a trail of its own.</p>
      <ul class="choices">
        ${this.claims.organizations.map((organization) => html`<li><button type="button" class="main" @click=${() => this.go({ organization }, true)}>${organization}</button></li>`)}
      </ul>
    </section>`;
  }

  private help() {
    const keys = [
      ["/", "go to the filter"], ["j or ↓, k or ↑", "next, previous entry"], ["Enter", "open the entry"], ["Esc", "close what is open"],
      ["[ and ]", "newer, older page; in an open entry, newer, older entry"], ["e", "export"], ["r", "load anew"], ["p", "in the live trail, pause or go on"], ["?", "this help"],
    ] as const;
    return html`<dialog id="help" class="small" aria-labelledby="help-title">
      <h2 id="help-title">Keys</h2>
      <dl class="keys">${keys.map(([key, does]) => html`<div><dt><kbd>${key}</kbd></dt><dd>${does}</dd></div>`)}</dl>
      <p class="quiet">Switch them off under Display, if they get in the way of your screen reader or voice control.</p>
      <form method="dialog"><button class="main">Close</button></form>
    </dialog>`;
  }

  private copyDialog() {
    return html`<dialog id="copy-dialog" class="small" aria-labelledby="copy-title">
      <h2 id="copy-title">Copy this</h2>
      <p class="quiet">The browser doesn't let a page without HTTPS use the clipboard.</p>
      <textarea readonly rows="8" aria-labelledby="copy-title"></textarea>
      <form method="dialog"><button class="main">Close</button></form>
    </dialog>`;
  }
}

customElements.define("audit-viewer", Viewer);
