import { defineConfig } from '@playwright/test';

// The system's Chromium where CHROMIUM names it, Playwright's own otherwise (`npx playwright install chromium`).
const executablePath = process.env.CHROMIUM || undefined;

export default defineConfig({
  testDir: 'e2e',
  // One journey: each part needs what the part before it made.
  workers: 1,
  fullyParallel: false,
  timeout: 90_000,
  expect: { timeout: 10_000 },
  reporter: [['list']],
  use: {
    browserName: 'chromium',
    launchOptions: { executablePath, args: ['--no-sandbox'] },
    viewport: { width: 1280, height: 900 },
    locale: 'en-GB',
    actionTimeout: 10_000,
    trace: 'retain-on-failure',
    screenshot: 'only-on-failure',
  },
});
