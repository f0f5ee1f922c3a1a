"""The stages of the method, one file each: a record of all that decides a result, and how it becomes a folder.

`finetune`, `search`, `retrain` and `bench` take settings, and the work of these settings if that is begun already.
"""
