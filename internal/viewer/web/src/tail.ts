/** Server-sent events (HTML standard, section 9.2) from a fetched stream, since EventSource can't send a token. */
export interface ServerEvent {
  readonly id: string | undefined;
  readonly event: string;
  readonly data: string;
}

/** parseEvents makes events of a stream's text, cut anywhere. An event that wasn't ended by an empty line is none. */
export async function* parseEvents(chunks: AsyncIterable<string>): AsyncGenerator<ServerEvent, void, undefined> {
  let rest = "";
  let id: string | undefined;
  let event = "";
  let data: string[] = [];
  for await (const chunk of chunks) {
    const lines = (rest + chunk).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop()!;
    for (const line of lines) {
      if (line === "") {
        if (data.length > 0) yield { id, event: event || "message", data: data.join("\n") };
        [id, event, data] = [undefined, "", []];
        continue;
      }
      const [, name, value] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? [];
      if (name === "id") id = value ?? "";
      else if (name === "event") event = value ?? "";
      else if (name === "data") data.push(value ?? "");
    }
  }
}

export interface Follower {
  /** Opens the stream behind an id, or at the trail's end. Throws what is no use trying again. */
  connect(lastId: string | undefined, signal: AbortSignal): Promise<AsyncIterable<ServerEvent>>;
  entry(data: string, id: string): void;
  /** `undefined` while connected; otherwise why not, and that it will be tried again. */
  status(trouble: string | undefined): void;
  /** Whether an error of `connect` will not go away by itself. */
  final(error: unknown): boolean;
  wait?(milliseconds: number, signal: AbortSignal): Promise<void>;
}

/**
 * follow stays connected until it is aborted or an error is final, which it throws. Behind
 * whatever cut the connection it goes on from the last event's id, so that no entry is
 * missing and none comes twice.
 */
export async function follow(follower: Follower, signal: AbortSignal): Promise<void> {
  const wait = follower.wait ?? pause;
  let last: string | undefined;
  let attempt = 0;
  while (!signal.aborted) {
    try {
      const events = await follower.connect(last, signal);
      follower.status(undefined);
      for await (const { id, event, data } of events) {
        attempt = 0;
        if (event === "entry" && id !== undefined && (last === undefined || BigInt(id) > BigInt(last))) follower.entry(data, id);
        if (id !== undefined && (last === undefined || BigInt(id) > BigInt(last))) last = id;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (follower.final(error)) throw error;
    }
    if (signal.aborted) return;
    follower.status("The connection was cut; reconnecting");
    await wait(Math.min(250 * 2 ** attempt++, 10_000), signal);
  }
}

const pause = (milliseconds: number, signal: AbortSignal) =>
  new Promise<void>((resolve) => {
    const done = () => {
      clearTimeout(timer);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener("abort", done, { once: true });
  });
