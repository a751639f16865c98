/** Short, whole answers of the HTTP/1.1 door. */
import type { OutgoingHttpHeaders, ServerResponse } from "node:http";

export function respondText(
  response: ServerResponse,
  status: number,
  text: string,
  headers: OutgoingHttpHeaders = {},
): void {
  respond(response, status, "text/plain; charset=utf-8", text, headers);
}

export function respondJson(response: ServerResponse, status: number, json: string): void {
  respond(response, status, "application/json", json, {});
}

function respond(
  response: ServerResponse,
  status: number,
  contentType: string,
  text: string,
  headers: OutgoingHttpHeaders,
): void {
  if (response.headersSent || response.destroyed) return;
  const body = Buffer.from(text);
  response.writeHead(status, {
    "content-type": contentType,
    "content-length": body.length,
    "x-content-type-options": "nosniff",
    ...headers,
  });
  response.end(body);
}
