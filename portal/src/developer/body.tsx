import { Button, FileInput, Group, NativeSelect, Stack, Text, Textarea, TextInput } from '@mantine/core';
import { useTranslation } from 'react-i18next';
import type { Parameter } from './api';
import type { Content } from './samples';
import { base64 } from '../shared/files';

/** A field of a form, as it is filled in. */
export interface FormField {
  name: string;
  value: string;
  isFile: boolean;
  file?: File | null;
}

export interface Body {
  text: string;
  file: File | null;
  fields: FormField[];
}

/** How a content of a type is filled in. */
export function kindOf(contentType: string): 'text' | 'form' | 'multipart' | 'file' {
  const type = contentType.split(';')[0].trim().toLowerCase();
  if (type === 'application/x-www-form-urlencoded') return 'form';
  if (type.startsWith('multipart/')) return 'multipart';
  if (type === '' || type.startsWith('text/') || /[/+](json|xml|yaml|graphql|javascript)$/.test(type) || type.includes('json') || type.includes('xml')) return 'text';
  return 'file';
}

const named = (fields: FormField[]) => fields.filter((f) => f.name);

/** The content for samples of code, where files are only named. */
export function contentOf(body: Body, contentType: string): Content | undefined {
  switch (kindOf(contentType)) {
    case 'multipart':
      return { parts: named(body.fields).map((f) => ({ name: f.name, value: f.value, ...(f.isFile ? { file: f.file?.name ?? 'file' } : {}) })) };
    case 'form':
      return { text: new URLSearchParams(named(body.fields).map((f) => [f.name, f.value])).toString() };
    case 'file':
      return { file: body.file?.name ?? 'file' };
    case 'text':
      return body.text ? { text: body.text } : undefined;
  }
}

/** The content as it is sent; a form with files gets its boundary here. */
export async function bytesOf(body: Body, contentType: string): Promise<{ body?: string; base64?: string; contentType?: string }> {
  const content = contentOf(body, contentType);
  if (content === undefined) return {};
  if ('text' in content) return { body: content.text };
  if ('file' in content) return body.file ? { base64: await base64(body.file) } : {};
  const boundary = `----portico${crypto.randomUUID().replaceAll('-', '')}`;
  const escaped = (text: string) => text.replaceAll('"', '%22').replace(/[\r\n]/g, ' ');
  const parts = named(body.fields).flatMap((f): BlobPart[] => [
    `--${boundary}\r\nContent-Disposition: form-data; name="${escaped(f.name)}"${f.isFile ? `; filename="${escaped(f.file?.name ?? 'file')}"\r\nContent-Type: ${f.file?.type || 'application/octet-stream'}` : ''}\r\n\r\n`,
    f.isFile ? (f.file ?? '') : f.value,
    '\r\n',
  ]);
  return { base64: await base64(new Blob([...parts, `--${boundary}--\r\n`])), contentType: `${contentType.split(';')[0]}; boundary=${boundary}` };
}

/** The fields that a form is described to have. */
export function fieldsOf(parameters: Parameter[] | null | undefined): FormField[] {
  return (parameters ?? []).map((p) => ({ name: p.name, value: p.defaultValue ?? '', isFile: ['file', 'binary'].includes(p.type) }));
}

/** Fills in what a call carries, as its content type wants it. */
export function BodyFields({ body, contentType, change }: { body: Body; contentType: string; change: (body: Body) => void }) {
  const { t } = useTranslation();
  const kind = kindOf(contentType);
  if (kind === 'text') {
    return <Textarea label={t('Request body')} autosize minRows={4} maxRows={20} value={body.text} onChange={(e) => change({ ...body, text: e.currentTarget.value })} styles={{ input: { fontFamily: 'var(--mantine-font-family-monospace)' } }} />;
  }
  if (kind === 'file') return <FileInput label={t('Request body')} description={t('The file is sent as it is; 1 MB at most.')} placeholder={t('Choose a file')} clearable clearButtonProps={{ 'aria-label': t('Without a file') }} value={body.file} onChange={(file) => change({ ...body, file })} />;
  const set = (i: number, more: Partial<FormField>) => change({ ...body, fields: body.fields.map((f, j) => (i === j ? { ...f, ...more } : f)) });
  return (
    <Stack gap="xs" role="group" aria-label={t('Form fields')}>
      <Text size="sm" fw={600}>{t('Form fields')}</Text>
      {body.fields.map((f, i) => (
        <Group key={i} gap="xs" wrap="nowrap" align="flex-end">
          <TextInput aria-label={t('Name of field {{number}}', { number: i + 1 })} value={f.name} onChange={(e) => set(i, { name: e.currentTarget.value })} />
          {kind === 'multipart' && <NativeSelect aria-label={t('Kind of field {{number}}', { number: i + 1 })} data={[{ value: 'text', label: t('Text') }, { value: 'file', label: t('File') }]} value={f.isFile ? 'file' : 'text'} onChange={(e) => set(i, { isFile: e.currentTarget.value === 'file' })} />}
          {f.isFile && kind === 'multipart'
            ? <FileInput aria-label={t('Value of field {{number}}', { number: i + 1 })} placeholder={t('Choose a file')} flex={1} value={f.file ?? null} onChange={(file) => set(i, { file })} />
            : <TextInput aria-label={t('Value of field {{number}}', { number: i + 1 })} flex={1} value={f.value} onChange={(e) => set(i, { value: e.currentTarget.value })} />}
          <Button variant="default" aria-label={t('Remove field {{number}}', { number: i + 1 })} onClick={() => change({ ...body, fields: body.fields.filter((_, j) => i !== j) })}>✕</Button>
        </Group>
      ))}
      <Group><Button size="compact-sm" variant="default" onClick={() => change({ ...body, fields: [...body.fields, { name: '', value: '', isFile: false }] })}>{t('Add a field')}</Button></Group>
    </Stack>
  );
}
