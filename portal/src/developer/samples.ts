export interface Sent {
  method: string;
  url: string;
  headers: [string, string][];
  body: string;
}

const quoted = (text: string) => JSON.stringify(text);
const shell = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;

/** The call as code, in the languages that developers ask for. */
export const SAMPLES: Record<string, (sent: Sent) => string> = {
  curl: ({ method, url, headers, body }) =>
    [`curl -X ${method} ${shell(url)}`, ...headers.map(([n, v]) => `  -H ${shell(`${n}: ${v}`)}`), ...(body ? [`  --data ${shell(body)}`] : [])].join(' \\\n'),
  Python: ({ method, url, headers, body }) =>
    `import requests\n\nreply = requests.request(\n    ${quoted(method)},\n    ${quoted(url)},\n    headers={${headers.map(([n, v]) => `${quoted(n)}: ${quoted(v)}`).join(', ')}},\n${body ? `    data=${quoted(body)}.encode(),\n` : ''})\nprint(reply.status_code, reply.text)\n`,
  JavaScript: ({ method, url, headers, body }) =>
    `const reply = await fetch(${quoted(url)}, {\n  method: ${quoted(method)},\n  headers: ${JSON.stringify(Object.fromEntries(headers))},\n${body ? `  body: ${quoted(body)},\n` : ''}});\nconsole.log(reply.status, await reply.text());\n`,
  'C#': ({ method, url, headers, body }) =>
    `using var client = new HttpClient();\nvar request = new HttpRequestMessage(new HttpMethod(${quoted(method)}), ${quoted(url)});\n${body ? `request.Content = new StringContent(${quoted(body)});\nrequest.Content.Headers.Remove("Content-Type");\n` : ''}${headers.map(([n, v]) => (n.toLowerCase() === 'content-type' ? (body ? `request.Content.Headers.TryAddWithoutValidation(${quoted(n)}, ${quoted(v)});\n` : '') : `request.Headers.TryAddWithoutValidation(${quoted(n)}, ${quoted(v)});\n`)).join('')}var reply = await client.SendAsync(request);\nConsole.WriteLine($"{(int)reply.StatusCode} {await reply.Content.ReadAsStringAsync()}");\n`,
  Java: ({ method, url, headers, body }) =>
    `var request = HttpRequest.newBuilder(URI.create(${quoted(url)}))\n    .method(${quoted(method)}, ${body ? `HttpRequest.BodyPublishers.ofString(${quoted(body)})` : 'HttpRequest.BodyPublishers.noBody()'})\n${headers.map(([n, v]) => `    .header(${quoted(n)}, ${quoted(v)})\n`).join('')}    .build();\nvar reply = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());\nSystem.out.println(reply.statusCode() + " " + reply.body());\n`,
  Go: ({ method, url, headers, body }) =>
    `request, err := http.NewRequest(${quoted(method)}, ${quoted(url)}, ${body ? `strings.NewReader(${quoted(body)})` : 'nil'})\nif err != nil {\n\tlog.Fatal(err)\n}\n${headers.map(([n, v]) => `request.Header.Set(${quoted(n)}, ${quoted(v)})\n`).join('')}reply, err := http.DefaultClient.Do(request)\nif err != nil {\n\tlog.Fatal(err)\n}\ndefer reply.Body.Close()\ncontent, _ := io.ReadAll(reply.Body)\nfmt.Println(reply.StatusCode, string(content))\n`,
  Rust: ({ method, url, headers, body }) =>
    `let reply = reqwest::Client::new()\n    .request(reqwest::Method::from_bytes(b${quoted(method)})?, ${quoted(url)})\n${headers.map(([n, v]) => `    .header(${quoted(n)}, ${quoted(v)})\n`).join('')}${body ? `    .body(${quoted(body)})\n` : ''}    .send()\n    .await?;\nprintln!("{} {}", reply.status(), reply.text().await?);\n`,
};
