import { RouterProvider } from '@tanstack/react-router';
import texts from '../i18n/publisher.cs.json';
import { mount } from '../shared/mount';
import { router } from './router';

mount(<RouterProvider router={router} />, texts);
