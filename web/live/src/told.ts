// What the collector tells, as src/live writes it.

export interface State {
  at: number;
  version: string;
  minutes: { at: number; received: number; outcomes: Record<string, number> }[];
  counted: number;
  of: number;
  skipped: number;
  tables: Record<string, [string, number, number][]>;
  intake: Record<string, number>;
  refused_requests: Record<string, number>;
  log: { size_bytes: number; max_bytes: number };
  destinations: Destination[];
  viewers: number;
}

export interface Destination {
  name: string;
  healthy: boolean;
  error: string | null;
  pending: number;
  pending_seconds: number;
  totals: Record<string, number>;
}

export interface Seen {
  events: Story[];
  missed: number;
}

export interface Story {
  at: number;
  id: string | null;
  stream: string;
  event: string | null;
  user: string | null;
  page: string | null;
  outcome: string;
  reason: string | null;
  times: [string, number][];
  sequence: number | null;
  request: { method: string; target: string; headers: [string, string][]; bytes: number; index: number | null; payload: unknown };
  steps: { step: string; saw: [string, string][]; rule: string; filled: [string, string][] }[] | null;
  added: string[];
  row: unknown;
  row_bytes: number;
}
