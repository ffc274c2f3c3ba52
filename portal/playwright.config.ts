import { defineConfig } from '@playwright/test';

// Which Chromium: scripts/e2e.sh says.
const executablePath = process.env.CHROMIUM || undefined;

export default defineConfig({
  testDir: 'e2e',
  // Each file is a journey in a service of its own, and each part of it needs what the part before it made.
  workers: 2,
  fullyParallel: false,
  timeout: 240_000,
  globalTimeout: 1_400_000,
  // After the first failure of a journey the rest of it says nothing new; other journeys still do.
  maxFailures: 10,
  expect: { timeout: 30_000 },
  reporter: [['list']],
  use: {
    browserName: 'chromium',
    launchOptions: { executablePath, args: ['--no-sandbox'] },
    viewport: { width: 1280, height: 900 },
    locale: 'en-GB',
    actionTimeout: 30_000,
    // Recording doubles the time; `E2E_TRACE=1` asks for it.
    trace: process.env.E2E_TRACE ? 'retain-on-failure' : 'off',
    screenshot: 'only-on-failure',
  },
});
