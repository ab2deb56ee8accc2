import { validZone, type Zone } from "./time.js";

/** What is remembered in this browser: looks, and public keys. Never a token or an entry. */
export interface Preferences {
  readonly theme: "system" | "light" | "dark";
  readonly density: "comfortable" | "compact";
  readonly zone: Zone;
  readonly shortcuts: boolean;
  readonly columns: readonly string[];
  /** Verifier keys that the person got by another way, one a line. */
  readonly keys: readonly string[];
}

const usual: Preferences = {
  theme: "system", density: "comfortable", zone: "local", shortcuts: true,
  columns: ["user", "action", "resource", "changes", "ip"], keys: [],
};

const place = "ocore-audit";

export function remembered(): Preferences {
  try {
    const kept = JSON.parse(localStorage.getItem(place) ?? "{}") as Partial<Preferences>;
    const known = Object.fromEntries(Object.entries(kept).filter(([name, value]) => name in usual && typeof value === typeof usual[name as keyof Preferences]));
    const all = { ...usual, ...known };
    return validZone(all.zone) ? all : { ...all, zone: usual.zone };
  } catch {
    return usual; // storage that is switched off is a choice too
  }
}

export function remember(preferences: Preferences): void {
  try {
    localStorage.setItem(place, JSON.stringify(preferences));
  } catch {
    // as above
  }
}
