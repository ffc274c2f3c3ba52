import { Typography } from '@mantine/core';
import { useParams } from '@tanstack/react-router';
import { Loaded, Page } from '../shared/ui';
import { useAsk } from './api';

/** What a publisher wrote, as the server cleaned it (crates/server/src/developer/markdown.rs). */
export function Html({ html }: { html: string }) {
  return <Typography p={0} m={0}><div dangerouslySetInnerHTML={{ __html: html }} /></Typography>;
}

export function ContentPage() {
  const { page = '' } = useParams({ strict: false });
  const query = useAsk('/pages/{page}', { path: { page } });
  return <Loaded query={query}>{(p) => <Page title={p.title}><Html html={p.html} /></Page>}</Loaded>;
}
