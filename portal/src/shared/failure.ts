/** A refusal of the server, in the contract's envelope. */
export class Failure extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly details: { target?: string; message: string }[],
    readonly requestId: string | null,
  ) {
    super(message);
  }

  /** What is wrong with a field, by its name below `properties`. */
  of(field: string): string | undefined {
    return this.details.find((d) => d.target?.replace(/^properties\./, '').toLowerCase() === field.toLowerCase())?.message;
  }
}

export interface Answer<T> {
  data: T;
  etag: string | null;
  headers: Headers;
  status: number;
}

/** Sends a request with the session's cookie, which counts only beside this header. */
export async function send<T>(method: string, url: string, body?: unknown, etag?: string): Promise<Answer<T>> {
  const headers: Record<string, string> = { 'x-portico-portal': '1' };
  if (body !== undefined) headers['content-type'] = 'application/json';
  if (etag) headers['if-match'] = etag;
  const reply = await fetch(url, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), credentials: 'same-origin' });
  const text = await reply.text();
  let data: unknown = undefined;
  try {
    data = text ? JSON.parse(text) : undefined;
  } catch {
    data = undefined;
  }
  if (!reply.ok) {
    const error = (data as { error?: { code?: string; message?: string; details?: { target?: string; message: string }[] | null } } | undefined)?.error;
    throw new Failure(reply.status, error?.code ?? String(reply.status), error?.message ?? reply.statusText, error?.details ?? [], reply.headers.get('x-ms-request-id'));
  }
  return { data: data as T, etag: reply.headers.get('etag'), headers: reply.headers, status: reply.status };
}

/** Line and column as the server's messages name them. */
export function positions(error: Failure): { line: number; column: number; message: string }[] {
  return [{ message: error.message }, ...error.details].flatMap(({ message }) => {
    const at = /line (\d+)(?:, (?:column|position) (\d+))?/i.exec(message);
    return at ? [{ line: Number(at[1]), column: Number(at[2] ?? 1), message }] : [];
  });
}
