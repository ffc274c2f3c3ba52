import '@mantine/core/styles.css';
import './shared.css';
import { createTheme, MantineProvider, type CSSVariablesResolver } from '@mantine/core';
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { setNonce } from 'get-nonce';
import { StrictMode, type ReactNode } from 'react';
import { createRoot } from 'react-dom/client';
import { Failure } from './failure';
import { initLanguage } from './language';

export const nonce = document.querySelector<HTMLElement>('script[nonce], [nonce]')?.nonce ?? '';

// Mantine's own shades of these miss WCAG's contrast of 4.5:1.
const resolver: CSSVariablesResolver = () => ({
  variables: {},
  light: { '--mantine-color-dimmed': '#545b64', '--mantine-color-error': '#b3261e', '--mantine-color-placeholder': '#5f6670' },
  dark: { '--mantine-color-dimmed': '#b3b8bf', '--mantine-color-error': '#ffb4ab', '--mantine-color-placeholder': '#a9aeb5' },
});

const theme = createTheme({
  primaryColor: 'blue',
  primaryShade: 8,
  luminanceThreshold: 0.18,
  autoContrast: true,
  defaultRadius: 'sm',
  fontFamily: 'system-ui, sans-serif',
  fontFamilyMonospace: 'ui-monospace, SFMono-Regular, Menlo, monospace',
});

export async function mount(app: ReactNode, czech?: Parameters<typeof initLanguage>[0]) {
  setNonce(nonce);
  await initLanguage(czech);
  const client = new QueryClient({
    defaultOptions: {
      queries: {
        staleTime: 5_000,
        retry: (count, error) => count < 2 && !(error instanceof Failure && error.status < 500),
      },
    },
  });
  const root = document.getElementById('root');
  if (!root) throw new Error('The page has no #root.');
  createRoot(root).render(
    <StrictMode>
      <MantineProvider theme={theme} cssVariablesResolver={resolver} defaultColorScheme="auto" getStyleNonce={() => nonce}>
        <QueryClientProvider client={client}>{app}</QueryClientProvider>
      </MantineProvider>
    </StrictMode>,
  );
}
