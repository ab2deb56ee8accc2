import { type Json, member, text } from "./json.js";

/** An entry as the API shows it: its members for people, and its own text. */
export interface Entry {
  readonly json: Json;
  readonly id: string;
  readonly action: string;
  readonly resourceType: string;
  readonly resourceId: string | undefined;
  readonly resourceName: string | undefined;
  readonly userId: string | undefined;
  readonly userName: string | undefined;
  readonly ipAddress: string | undefined;
  readonly userAgent: string | undefined;
  readonly before: Json | undefined;
  readonly after: Json | undefined;
  readonly occurredAt: string | undefined;
  readonly importedAt: string | undefined;
  readonly recordedBy: string;
  readonly position: string;
  readonly createdAt: string;
}

export function entryOf(json: Json): Entry {
  const get = (name: string) => text(member(json, name));
  return {
    json,
    id: get("id") ?? "",
    action: get("action") ?? "",
    resourceType: get("resourceType") ?? "",
    resourceId: get("resourceId"),
    resourceName: get("resourceName"),
    userId: get("userId"),
    userName: get("userName"),
    ipAddress: get("ipAddress"),
    userAgent: get("userAgent"),
    before: member(json, "beforeState"),
    after: member(json, "afterState"),
    occurredAt: get("occurredAt"),
    importedAt: get("importedAt"),
    recordedBy: get("recordedBy") ?? "",
    position: get("position") ?? "",
    createdAt: get("createdAt") ?? "",
  };
}

/** What the customer's platform records, as people say it. `{}` is the resource. */
const said: Record<string, string> = {
  "auth.login": "signed in",
  "auth.logout": "signed out",
  "auth.login_failed": "failed to sign in",
  "auth.totp_enabled": "turned on one-time codes for {}",
  "auth.totp_disabled": "turned off one-time codes for {}",
  "auth.passkey_registered": "registered a passkey for {}",
  "auth.password_changed": "changed the password of {}",
  "auth.password_reset": "reset the password of {}",
  "org.settings_updated": "changed the settings of {}",
  "member.invited": "invited {}",
  "member.joined": "joined as {}",
  "member.role_changed": "changed the role of {}",
  "member.removed": "removed {}",
  "instance.settings_updated": "changed the settings of {}",
  "deployment.triggered": "triggered {}",
  "deployment.completed": "completed {}",
  "deployment.failed": "failed at {}",
  "deployment.rolled_back": "rolled back {}",
};

/** The verbs of `resource.verb` that say all with the resource behind them. */
const verbs = /^(created|updated|deleted|removed|started|stopped|restarted|invited|restored|renamed|enabled|disabled|approved|rejected|archived|exported|imported|revoked|rotated|granted)$/;

export const actorOf = (entry: Entry): string => entry.userName ?? entry.userId ?? "Somebody unnamed";

export function resourceOf(entry: Entry): string {
  const kind = entry.resourceType.replaceAll("_", " ");
  const name = entry.resourceName ?? entry.resourceId;
  return name === undefined ? `a ${kind}` : `${kind} ${entry.resourceName === undefined ? name : `“${name}”`}`;
}

/** sentence says who did what to which resource. Unknown actions are quoted, never interpreted. */
export function sentence(entry: Entry): string {
  const known = said[entry.action];
  if (known !== undefined) return `${actorOf(entry)} ${known.replace("{}", () => resourceOf(entry))}`;
  const verb = entry.action.slice(entry.action.lastIndexOf(".") + 1);
  if (verbs.test(verb)) return `${actorOf(entry)} ${verb} ${resourceOf(entry)}`;
  return `${actorOf(entry)}: ${entry.action} on ${resourceOf(entry)}`;
}
