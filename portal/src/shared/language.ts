import i18next from 'i18next';
import { initReactI18next } from 'react-i18next';
import english from '../i18n/en.json';

type Texts = Record<string, string>;

let czech: () => Promise<Texts> = async () => (await import('../i18n/cs.json')).default;

async function load(language: string) {
  if (language === 'cs' && !i18next.hasResourceBundle('cs', 'translation')) i18next.addResourceBundle('cs', 'translation', await czech());
}

/**
 * English texts are their own keys; `npm run languages` fails when a translation of one is missing. Czech ones are loaded
 * by who reads Czech; `more` loads those that only this portal shows, so that the other does not.
 */
export async function initLanguage(more?: () => Promise<{ default: Texts }>) {
  if (more) {
    const shared = czech;
    czech = async () => {
      const [common, own] = await Promise.all([shared(), more()]);
      return { ...common, ...own.default };
    };
  }
  const chosen = document.cookie.match(/(?:^|; )portico_language=(\w+)/)?.[1];
  const language = chosen ?? (navigator.language.startsWith('cs') ? 'cs' : 'en');
  await i18next.use(initReactI18next).init({
    lng: language,
    fallbackLng: false,
    keySeparator: false,
    nsSeparator: false,
    // Only what English says otherwise of one than of many.
    resources: { en: { translation: english } },
    interpolation: { escapeValue: false },
  });
  try {
    await load(language);
    document.documentElement.lang = language;
  } catch (error) {
    // English needs no texts, and shows what is wrong with the connection.
    console.error(error);
    await i18next.changeLanguage('en');
    document.documentElement.lang = 'en';
  }
}

export async function setLanguage(language: string) {
  await load(language);
  document.cookie = `portico_language=${language}; path=/; max-age=31536000; samesite=strict`;
  document.documentElement.lang = language;
  await i18next.changeLanguage(language);
}
