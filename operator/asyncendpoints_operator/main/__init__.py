"""The operator's process. aiohttp is imported first, in less memory than it takes by default."""

from asyncendpoints_operator.kube import aiohttp_import as aiohttp_import
