import { html, nothing, type ReactiveController, type ReactiveControllerHost, type TemplateResult } from "lit";
import { expired, ProblemError } from "./api.js";

/**
 * What is fetched for a part of the page: nothing yet, on its way (and slow after a second),
 * there, or failed. What was there before stays at hand while the next is on its way, so that
 * a page doesn't jump; who shows it says that it is old.
 */
export class Load<T> implements ReactiveController {
  status: "idle" | "loading" | "done" | "failed" = "idle";
  value: T | undefined;
  error: unknown;
  slow = false;
  at = 0;
  private running: AbortController | undefined;
  private again: (() => void) | undefined;

  constructor(
    private readonly host: ReactiveControllerHost & HTMLElement,
    private readonly name: string,
  ) {
    host.addController(this);
  }

  hostDisconnected(): void {
    this.running?.abort();
  }

  reset(): void {
    this.running?.abort();
    this.running = undefined; // or its end would be taken for somebody's cancelling
    this.status = "idle";
    this.value = undefined;
    this.host.requestUpdate();
  }

  async run(fetching: (signal: AbortSignal) => Promise<T>): Promise<void> {
    this.running?.abort();
    const running = (this.running = new AbortController());
    this.again = () => void this.run(fetching);
    this.status = "loading";
    this.slow = false;
    this.host.requestUpdate();
    const timer = setTimeout(() => {
      this.slow = true;
      this.host.requestUpdate();
    }, 1000);
    try {
      const value = await fetching(running.signal);
      if (this.running !== running) return;
      this.value = value;
      this.at = Date.now();
      this.status = "done";
    } catch (error) {
      if (this.running !== running) return;
      this.error = running.signal.aborted ? new Error("You cancelled this.") : error;
      this.status = "failed";
      if (expired(error)) this.host.dispatchEvent(new CustomEvent("token-refused", { bubbles: true, composed: true, detail: error }));
    } finally {
      clearTimeout(timer);
      if (this.running === running) this.host.requestUpdate();
    }
  }

  cancel = (): void => {
    const running = this.running;
    running?.abort();
  };

  retry = (): void => this.again?.();

  /** What stands where the value isn't: that it is loading, slow, or failed. `nothing` when it is there. */
  get notice(): TemplateResult | typeof nothing {
    if (this.status === "loading" && this.slow) {
      return html`<div class="notice" role="status">
        <p><span class="spinner" aria-hidden="true"></span> Still loading ${this.name}. This takes longer than usual.</p>
        <button type="button" @click=${this.cancel}>Cancel</button>
      </div>`;
    }
    if (this.status === "loading") {
      return html`<div class="notice quiet" role="status"><span class="spinner" aria-hidden="true"></span><p>Loading ${this.name}…</p></div>`;
    }
    return this.status === "failed" ? failure(this.error, this.name, this.retry) : nothing;
  }

  /** The notice beside an older value, which is shown as such: nothing until the next one is slow, so that the page doesn't jump. */
  get lateNotice(): TemplateResult | typeof nothing {
    return this.status === "loading" && !this.slow && this.value !== undefined ? nothing : this.notice;
  }
}

/** sentenceOf is a problem's detail as a sentence; names at its beginning stay as they are. */
export function sentenceOf({ detail, title }: { detail?: string; title: string }): string {
  const text = (detail ?? title).replace(/^[a-z]+(?= )/, (word) => word[0]!.toUpperCase() + word.slice(1));
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

/** failure says what went wrong, what to do, and the id by which the service's operators find it. */
export function failure(error: unknown, name: string, retry: () => void): TemplateResult {
  const problem = error instanceof ProblemError ? error.problem : undefined;
  const kind = ({ 401: "expired", 403: "forbidden", 404: "missing" } as const)[problem?.status ?? 0] ?? "failed";
  const title = { forbidden: `You may not see ${name}`, expired: "Your token is not accepted", missing: "It isn't here", failed: `Could not load ${name}` }[kind];
  const detail = problem
    ? sentenceOf(problem)
    : error instanceof TypeError ? "The service could not be reached. Check the connection, then try again." : error instanceof Error ? error.message : String(error);
  return html`<div class="notice ${kind}" role="alert">
    <h3>${title}</h3>
    <p>${detail}</p>
    ${problem ? html`<p class="quiet">Status ${problem.status}${problem.requestId ? html`, request <code>${problem.requestId}</code>` : nothing}</p>` : nothing}
    ${kind === "forbidden"
      ? html`<p>Ask whoever issues your tokens for the permission, then sign in with the new token.</p>`
      : kind === "missing"
        ? html`<p>The link may be cut short, or lead to what another organization recorded.</p>`
        : html`<button type="button" @click=${retry}>Try again</button>`}
  </div>`;
}
