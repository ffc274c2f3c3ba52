/** A field of a form: a text, or a file by its name. */
export interface Part {
  name: string;
  value: string;
  file?: string;
}

/** What a call carries: a text, a file, or a form with files. */
export type Content = { text: string } | { file: string } | { parts: Part[] };

export interface Sent {
  method: string;
  url: string;
  headers: [string, string][];
  content?: Content;
}

const quoted = (text: string) => JSON.stringify(text);
const shell = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;

/** One way to say a content for each of its kinds; nothing where a call has none. */
function by(content: Content | undefined, say: { text: (text: string) => string; file: (name: string) => string; parts: (parts: Part[]) => string }): string {
  if (content === undefined) return '';
  if ('text' in content) return say.text(content.text);
  return 'file' in content ? say.file(content.file) : say.parts(content.parts);
}

/** A form's content type has a boundary, which the library makes. */
function headersOf({ headers, content }: Sent): [string, string][] {
  return content && 'parts' in content ? headers.filter(([name]) => name.toLowerCase() !== 'content-type') : headers;
}

/** The call as code, in the languages that developers ask for. */
export const SAMPLES: Record<string, (sent: Sent) => string> = {
  curl: (sent) =>
    [
      `curl -X ${sent.method} ${shell(sent.url)}`,
      ...headersOf(sent).map(([n, v]) => `  -H ${shell(`${n}: ${v}`)}`),
      ...by(sent.content, {
        text: (text) => `  --data ${shell(text)}`,
        file: (name) => `  --data-binary ${shell(`@${name}`)}`,
        parts: (parts) => parts.map((p) => `  -F ${shell(p.file ? `${p.name}=@${p.file}` : `${p.name}=${p.value}`)}`).join('\n'),
      }).split(/\n(?=  -F )/).filter(Boolean),
    ].join(' \\\n'),
  Python: (sent) =>
    `import requests\n\nreply = requests.request(\n    ${quoted(sent.method)},\n    ${quoted(sent.url)},\n    headers={${headersOf(sent).map(([n, v]) => `${quoted(n)}: ${quoted(v)}`).join(', ')}},\n${by(sent.content, {
      text: (text) => `    data=${quoted(text)}.encode(),\n`,
      file: (name) => `    data=open(${quoted(name)}, "rb"),\n`,
      parts: (parts) => `    files=[${parts.map((p) => `(${quoted(p.name)}, ${p.file ? `open(${quoted(p.file)}, "rb")` : `(None, ${quoted(p.value)})`})`).join(', ')}],\n`,
    })})\nprint(reply.status_code, reply.text)\n`,
  JavaScript: (sent) =>
    `${by(sent.content, {
      text: () => '',
      file: () => '// `file` is what an <input type="file"> holds.\n',
      parts: (parts) => `const form = new FormData();\n${parts.map((p) => `form.append(${quoted(p.name)}, ${p.file ? `file, ${quoted(p.file)}` : quoted(p.value)});\n`).join('')}`,
    })}const reply = await fetch(${quoted(sent.url)}, {\n  method: ${quoted(sent.method)},\n  headers: ${JSON.stringify(Object.fromEntries(headersOf(sent)))},\n${by(sent.content, { text: (text) => `  body: ${quoted(text)},\n`, file: () => '  body: file,\n', parts: () => '  body: form,\n' })}});\nconsole.log(reply.status, await reply.text());\n`,
  'C#': (sent) => {
    const ofContent = (name: string) => name.toLowerCase() === 'content-type';
    return `using var client = new HttpClient();\nvar request = new HttpRequestMessage(new HttpMethod(${quoted(sent.method)}), ${quoted(sent.url)});\n${by(sent.content, {
      text: (text) => `request.Content = new StringContent(${quoted(text)});\nrequest.Content.Headers.Remove("Content-Type");\n`,
      file: (name) => `request.Content = new StreamContent(File.OpenRead(${quoted(name)}));\n`,
      parts: (parts) => `var form = new MultipartFormDataContent();\n${parts.map((p) => `form.Add(${p.file ? `new StreamContent(File.OpenRead(${quoted(p.file)})), ${quoted(p.name)}, ${quoted(p.file)}` : `new StringContent(${quoted(p.value)}), ${quoted(p.name)}`});\n`).join('')}request.Content = form;\n`,
    })}${headersOf(sent).map(([n, v]) => (ofContent(n) ? (sent.content ? `request.Content.Headers.TryAddWithoutValidation(${quoted(n)}, ${quoted(v)});\n` : '') : `request.Headers.TryAddWithoutValidation(${quoted(n)}, ${quoted(v)});\n`)).join('')}var reply = await client.SendAsync(request);\nConsole.WriteLine($"{(int)reply.StatusCode} {await reply.Content.ReadAsStringAsync()}");\n`;
  },
  Java: (sent) => {
    const body = by(sent.content, {
      text: (text) => `HttpRequest.BodyPublishers.ofString(${quoted(text)})`,
      file: (name) => `HttpRequest.BodyPublishers.ofFile(Path.of(${quoted(name)}))`,
      parts: () => 'HttpRequest.BodyPublishers.concat(parts.toArray(HttpRequest.BodyPublisher[]::new))',
    });
    const form = by(sent.content, {
      text: () => '',
      file: () => '',
      parts: (parts) => `var boundary = "----" + UUID.randomUUID();\nvar parts = new ArrayList<HttpRequest.BodyPublisher>();\n${parts.map((p) => `parts.add(HttpRequest.BodyPublishers.ofString("--" + boundary + "\\r\\nContent-Disposition: form-data; name=\\"${p.name}\\"${p.file ? `; filename=\\"${p.file}\\"` : ''}\\r\\n\\r\\n"));\nparts.add(${p.file ? `HttpRequest.BodyPublishers.ofFile(Path.of(${quoted(p.file)}))` : `HttpRequest.BodyPublishers.ofString(${quoted(p.value)})`});\nparts.add(HttpRequest.BodyPublishers.ofString("\\r\\n"));\n`).join('')}parts.add(HttpRequest.BodyPublishers.ofString("--" + boundary + "--\\r\\n"));\n`,
    });
    const headers = headersOf(sent).map(([n, v]) => `    .header(${quoted(n)}, ${quoted(v)})\n`).join('') + (form ? '    .header("Content-Type", "multipart/form-data; boundary=" + boundary)\n' : '');
    return `${form}var request = HttpRequest.newBuilder(URI.create(${quoted(sent.url)}))\n    .method(${quoted(sent.method)}, ${body || 'HttpRequest.BodyPublishers.noBody()'})\n${headers}    .build();\nvar reply = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());\nSystem.out.println(reply.statusCode() + " " + reply.body());\n`;
  },
  Go: (sent) => {
    const check = 'if err != nil {\n\tlog.Fatal(err)\n}\n';
    const prepared = by(sent.content, {
      text: () => '',
      file: (name) => `body, err := os.Open(${quoted(name)})\n${check}`,
      parts: (parts) => `var body bytes.Buffer\nform := multipart.NewWriter(&body)\n${parts.map((p, i) => (p.file ? `part${i}, _ := form.CreateFormFile(${quoted(p.name)}, ${quoted(p.file)})\nfile${i}, err := os.Open(${quoted(p.file)})\n${check}io.Copy(part${i}, file${i})\n` : `form.WriteField(${quoted(p.name)}, ${quoted(p.value)})\n`)).join('')}form.Close()\n`,
    });
    const body = by(sent.content, { text: (text) => `strings.NewReader(${quoted(text)})`, file: () => 'body', parts: () => '&body' });
    const type = sent.content && 'parts' in sent.content ? 'request.Header.Set("Content-Type", form.FormDataContentType())\n' : '';
    return `${prepared}request, err := http.NewRequest(${quoted(sent.method)}, ${quoted(sent.url)}, ${body || 'nil'})\n${check}${headersOf(sent).map(([n, v]) => `request.Header.Set(${quoted(n)}, ${quoted(v)})\n`).join('')}${type}reply, err := http.DefaultClient.Do(request)\n${check}defer reply.Body.Close()\ncontent, _ := io.ReadAll(reply.Body)\nfmt.Println(reply.StatusCode, string(content))\n`;
  },
  Rust: (sent) => {
    const form = by(sent.content, {
      text: () => '',
      file: () => '',
      parts: (parts) => `let form = reqwest::multipart::Form::new()${parts.map((p) => (p.file ? `\n    .file(${quoted(p.name)}, ${quoted(p.file)})\n    .await?` : `\n    .text(${quoted(p.name)}, ${quoted(p.value)})`)).join('')};\n`,
    });
    return `${form}let reply = reqwest::Client::new()\n    .request(reqwest::Method::from_bytes(b${quoted(sent.method)})?, ${quoted(sent.url)})\n${headersOf(sent).map(([n, v]) => `    .header(${quoted(n)}, ${quoted(v)})\n`).join('')}${by(sent.content, {
      text: (text) => `    .body(${quoted(text)})\n`,
      file: (name) => `    .body(tokio::fs::read(${quoted(name)}).await?)\n`,
      parts: () => '    .multipart(form)\n',
    })}    .send()\n    .await?;\nprintln!("{} {}", reply.status(), reply.text().await?);\n`;
  },
};
